"""Attributes of HTML that are no names in Python."""

from __future__ import annotations

from typing import Any


def attributes(**names: str) -> dict[str, Any]:
    """``aria_label="x"`` as ``{"aria-label": "x"}``, to be unpacked into a component."""
    return {name.replace("_", "-"): value for name, value in names.items()}
