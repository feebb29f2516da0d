"""Rows of a table as records: dotted columns, nested structs, empty cells, text that stands for numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec
import msgspec.inspect

from assay.collector.envelope import Reject
from assay.collector.native import Decoded, rejected
from assay.collector.reasons import Reason, explain
from assay.contracts.records import RECORDS, Record

# Fields that hold a map or a list: in a table they are JSON in a cell, or one column per name.
_MAPS: Final = frozenset({"attributes", "units"})
_JSON: Final = _MAPS | {"context"}


class UnknownColumnError(ValueError):
    """A column that is probably a field misspelt."""


class Row(NamedTuple):
    """One row: its number (from 1), the record's fields, and what was wrong with the row itself."""

    number: int
    fields: dict[str, Any]
    problem: str = ""


class Columns:
    """How the columns of a table become fields of a record.

    A column that is no field is left out, and named in ``left_out``: tables carry columns of their own.

    Args:
        kind: of the records.
        names: of the columns, ``tokens.prompt`` for a nested field.

    Raises:
        UnknownColumnError: a column is so close to a field's name that it must be meant for it, or stands
            twice.
    """

    def __init__(self, kind: str, names: list[str]) -> None:
        self.kind = kind
        self.names = [name.strip() for name in names]
        nested = _nested(RECORDS[kind])
        top = {info.encode_name for info in msgspec.structs.fields(RECORDS[kind])}
        known = top | {f"{outer}.{name}" for outer, inner in nested.items() for name in inner}
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            raise UnknownColumnError(f"column `{sorted(twice)[0]}` stands more than once")
        self.left_out = tuple(
            name for name in self.names if name not in known and name.partition(".")[0] not in _MAPS
        )
        missing = sorted(known - set(self.names))
        for name in self.left_out:
            if close := get_close_matches(name.lower(), missing, n=1, cutoff=0.8):
                raise UnknownColumnError(
                    f"column `{name}` is not a field of {kind}; did you mean `{close[0]}`? "
                    "Rename or remove it"
                )
        # Required fields that may be null: there an empty cell says null.
        self._null = frozenset(_required_nullable(RECORDS[kind])) & set(self.names)

    def rows(self, reader: Iterator[list[str]]) -> Iterator[Row]:
        """Rows of a CSV reader. An empty cell is an absent field."""
        number = 0
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(number, {}, f"not CSV: {error}")
                continue
            if not cells:
                number -= 1
                continue
            if len(cells) != len(self.names):
                problem = (
                    f"{len(cells)} cells where the header has {len(self.names)}; quote cells with commas"
                )
                yield Row(number, dict(zip(self.names, cells, strict=False)), problem)
                continue
            yield self._row(number, cells)

    def _row(self, number: int, cells: list[str]) -> Row:
        fields: dict[str, Any] = {}
        for name, cell in zip(self.names, cells, strict=True):
            if name in self.left_out:
                continue
            if cell == "":
                if name in self._null:
                    fields[name] = None
                continue
            if any("\udc80" <= character <= "\udcff" for character in cell):
                return Row(number, {}, f"`{name}` is not UTF-8; save the file UTF-8 encoded")
            outer, dot, inner = name.partition(".")
            if dot:
                fields.setdefault(outer, {})[inner] = cell
            elif outer in _JSON:
                try:
                    fields[outer] = msgspec.json.decode(cell)
                except msgspec.DecodeError as error:
                    return Row(number, {outer: cell}, f"`{outer}` has to be JSON: {error}")
            else:
                fields[outer] = cell
        return Row(number, fields)

    def nested(self, first: int, rows: list[dict[str, Any]]) -> list[Row]:
        """Rows of nested values. Null is an absent field, and so is a struct of nulls."""
        return [Row(first + i, self._without_nulls(row)) for i, row in enumerate(rows)]

    def _without_nulls(self, row: dict[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in row.items():
            if value is None and name not in self._null:
                continue
            outer, dot, inner = name.partition(".")
            if name in self.left_out:
                continue
            if dot:
                fields.setdefault(outer, {})[inner] = value
            elif outer in _MAPS and isinstance(value, list):
                # Arrow gives maps as pairs.
                fields[outer] = dict(value)
            elif isinstance(value, dict):
                inside = {key: item for key, item in value.items() if item is not None}
                if inside:
                    fields[outer] = inside
            else:
                fields[outer] = value
        return fields


def converted(kind: str, rows: list[Row]) -> Decoded:
    """The records of rows; text is read as the number or time that its field holds."""
    record = RECORDS[kind]
    if not any(row.problem for row in rows):
        try:
            records: list[Record] = msgspec.convert(
                [row.fields for row in rows],
                list[record],  # type: ignore[valid-type]
                strict=False,
            )
        except msgspec.ValidationError:
            pass
        else:
            return Decoded(records, [row.number for row in rows], [])
    return _one_by_one(kind, rows)


def _one_by_one(kind: str, rows: list[Row]) -> Decoded:
    records: list[Record] = []
    numbers: list[int] = []
    rejects: list[Reject] = []
    for row in rows:
        if row.problem:
            rejects.append(rejected(row.number, Reason("", row.problem), _payload(row.fields)))
            continue
        try:
            records.append(msgspec.convert(row.fields, RECORDS[kind], strict=False))
        except msgspec.ValidationError as error:
            rejects.append(rejected(row.number, explain(kind, error, row.fields), _payload(row.fields)))
        else:
            numbers.append(row.number)
    return Decoded(records, numbers, rejects)


def _payload(fields: dict[str, Any]) -> bytes:
    return (
        msgspec.json.encode(fields, enc_hook=str)
        if _is_text(fields)
        else repr(fields).encode("utf-8", "replace")
    )


def _is_text(fields: dict[str, Any]) -> bool:
    return not any(
        isinstance(value, str) and any("\udc80" <= c <= "\udcff" for c in value) for value in fields.values()
    )


def _nested(record: type[Record]) -> dict[str, list[str]]:
    """Fields that are records themselves, with the names of their fields."""
    found: dict[str, list[str]] = {}
    for field in _fields(record):
        for part in _alternatives(field.type):
            if isinstance(part, msgspec.inspect.StructType):
                found[field.encode_name] = [inner.encode_name for inner in part.fields]
    return found


def _required_nullable(record: type[Record]) -> list[str]:
    return [
        field.encode_name
        for field in _fields(record)
        if field.required and any(isinstance(p, msgspec.inspect.NoneType) for p in _alternatives(field.type))
    ]


def _fields(record: type[Record]) -> tuple[msgspec.inspect.Field, ...]:
    info = msgspec.inspect.type_info(record)
    assert isinstance(info, msgspec.inspect.StructType)
    return info.fields


def _alternatives(part: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, ...]:
    return part.types if isinstance(part, msgspec.inspect.UnionType) else (part,)
