"""Moments as options of commands give them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def moment(option: str, text: str) -> datetime:
    """A moment: a day begins at midnight UTC; a time without an offset is UTC."""
    found = _read(option, text, "2026-01-31 or 2026-01-31T12:00:00Z")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def zoned(option: str, text: str) -> datetime:
    """A moment that says its time zone itself."""
    found = _read(option, text, "2026-01-31T00:00:00Z")
    if found.tzinfo is None:
        raise typer.BadParameter(
            f"{option} {text!r} has no time zone: write {found.isoformat()}Z for UTC, or "
            f"{found.isoformat()}+02:00"
        )
    return found.astimezone(UTC)


def _read(option: str, text: str, example: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r}: write {example}") from None
