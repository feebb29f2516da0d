"""JSON Schemas of the contracts, generated from their types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from assay.contracts.http import BODIES
from assay.contracts.records import RECORDS, Record

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Every contract by name, as a JSON Schema (draft 2020-12) that stands alone."""
    return {name: _schema(kind) for name, kind in {**RECORDS, **BODIES}.items()}


def write() -> None:
    """Write the schemas to ``schemas/*.json`` and remove those of types that are gone."""
    FOLDER.mkdir(exist_ok=True)
    wanted = schemas()
    for stale in FOLDER.glob("*.json"):
        if stale.stem not in wanted:
            stale.unlink()
    for name, schema in wanted.items():
        (FOLDER / f"{name}.json").write_text(render(schema), encoding="utf-8")


def render(schema: dict[str, Any]) -> str:
    """The text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    # The annotations of the types are strings until resolved; msgspec resolves them in the type's module.
    schema = msgspec.json.schema(kind)
    if issubclass(kind, Record):
        _accept_numbers(schema)
    return {"$schema": DIALECT, **schema}


def _accept_numbers(schema: Any) -> None:
    """Decimals may be sent as JSON numbers too (msgspec reads their digits, not a float)."""
    if isinstance(schema, dict):
        if schema.get("format") == "decimal":
            schema["type"] = ["number", "string"]
        for value in schema.values():
            _accept_numbers(value)
    elif isinstance(schema, list):
        for value in schema:
            _accept_numbers(value)
