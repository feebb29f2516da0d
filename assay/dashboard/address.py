"""What every page has in its address: where it is, and filters by tenant, model and template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Dimension = Literal["tenant_id", "model", "prompt_template_version"]
Query = Mapping[str, str | Sequence[str]]

# A series may have no template (or task); the empty string cannot be an option of a select.
UNNAMED = "(none)"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Whose calls are shown. Empty filters mean everything."""

    tenants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()

    @property
    def filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.tenants or self.models or self.templates)

    def pairs(self) -> list[tuple[str, str]]:
        """The filters as parts of a query string."""
        named = (("tenant", self.tenants), ("model", self.models), ("template", self.templates))
        return [(name, value) for name, values in named for value in values]


def path_of(pathname: str | None) -> str:
    """The path of an address as pages are known by."""
    return (pathname or "/").rstrip("/") or "/"


def filters(query: Query) -> dict[str, Any]:
    """The fields of :class:`Filters` that an address names."""
    return {f"{name}s": _many(query, name) for name in ("tenant", "model", "template")}


def one(query: Query, name: str) -> str:
    """The first value of that name; empty where there is none."""
    value = query.get(name) or ""
    return value if isinstance(value, str) else (value[0] if value else "")


def _many(query: Query, name: str) -> tuple[str, ...]:
    value = query.get(name) or ()
    return tuple(dict.fromkeys([value] if isinstance(value, str) else value))
