"""Files of records as batches: NDJSON, JSON, CSV and Parquet, plain or compressed with gzip or zstd.

A bad row becomes a reject with its row number (from 1, the header not counted) and never stops the others.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import zstandard

from assay.cli.console import stderr
from assay.cli.tables import Columns, Row, UnknownColumnError, converted
from assay.collector import native
from assay.collector.envelope import Reject
from assay.collector.native import Parsed

# Large enough that the queue's round trip does not show, small enough that progress does.
BATCH: Final = 4000
FORMATS: Final = (".ndjson", ".jsonl", ".json", ".csv", ".parquet")
_COMPRESSED: Final = (".gz", ".zst")
# A prompt may stand in a cell; the module's default of 128 kB is for spreadsheets.
csv.field_size_limit(16_000_000)

_raw_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


class FileError(ValueError):
    """The file as a whole cannot be read; the message names it and the fix."""


class Opened(Protocol):
    """A file being read."""

    path: Path
    stream: IO[bytes]

    def share(self) -> float:
        """How much of the file was read, 0 to 1."""


class _Opened:
    def __init__(self, path: Path, raw: IO[bytes], stream: IO[bytes]) -> None:
        self.path = path
        self.stream = stream
        self._raw = raw
        self._size = max(1, path.stat().st_size)

    def share(self) -> float:
        return min(1.0, self._raw.tell() / self._size)


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """The file without its compression.

    Raises:
        FileError: it ends too early or is damaged, whenever that is found.
    """
    with path.open("rb") as raw:
        stream: IO[bytes] = raw
        if path.suffix == ".gz":
            stream = io.BufferedReader(gzip.GzipFile(fileobj=raw))
        elif path.suffix == ".zst":
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
            stream = io.BufferedReader(reader)
        try:
            yield _Opened(path, raw, stream)
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise FileError(f"{path}: the compressed data is damaged or ends too early: {error}") from error


def inner_suffix(path: Path) -> str:
    """The suffix of what is in the file: ``.csv`` for ``a.csv.gz``.

    Raises:
        FileError: it is none of :data:`FORMATS`.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise FileError(
            f"{path}: the name must end in {', '.join(FORMATS)}, or one of these with .gz or .zst"
        )
    return suffixes[-1]


def batches(kind: str, file: Opened) -> Iterator[Parsed]:
    """The records of a file in the native format.

    Raises:
        FileError: the file as a whole cannot be read.
    """
    suffix = inner_suffix(file.path)
    if suffix == ".csv":
        return _csv(kind, file)
    if suffix == ".parquet":
        return _parquet(kind, file)
    if suffix == ".json":
        return _json(kind, file)
    return _lines(kind, file.stream)


def _lines(kind: str, stream: IO[bytes]) -> Iterator[Parsed]:
    first = 1
    while chunk := list(islice(stream, BATCH)):
        yield _numbered(native.parse(kind, b"".join(chunk), max_age=None), first)
        first += sum(1 for line in chunk if line.strip())


def _json(kind: str, file: Opened) -> Iterator[Parsed]:
    body = file.stream.read().removeprefix(b"\xef\xbb\xbf")
    if not body.lstrip().startswith(b"["):
        # One object over several lines, or NDJSON under another name.
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except msgspec.DecodeError:
            yield from _lines(kind, io.BytesIO(body))
        else:
            yield _numbered(native.parse(kind, body, max_age=None), 1)
        return
    try:
        parts = _raw_array.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(
            f"{file.path}: not a JSON array: {error}; write one record a line as .ndjson, "
            "so that a bad record does not hide the others"
        ) from error
    for first in range(0, len(parts), BATCH):
        chunk = b"[" + b",".join(parts[first : first + BATCH]) + b"]"
        yield _numbered(native.parse(kind, chunk, max_age=None), first + 1)


def _csv(kind: str, file: Opened) -> Iterator[Parsed]:
    # Bytes that are no UTF-8 survive as surrogates, so that their row alone is refused.
    text = codecs.iterdecode(file.stream, "utf-8-sig", errors="surrogateescape")
    reader = csv.reader(text, strict=True)
    header = next(reader, None)
    if not header:
        raise FileError(f"{file.path}: empty; the first line must name the columns")
    columns = _columns(kind, header, file.path)
    rows = columns.rows(reader)
    while chunk := list(islice(rows, BATCH)):
        yield _in_time(kind, chunk)


def _parquet(kind: str, file: Opened) -> Iterator[Parsed]:
    source = io.BytesIO(file.stream.read()) if file.path.suffix.lower() in _COMPRESSED else file.stream
    try:
        table = pyarrow.parquet.ParquetFile(source)
    except pyarrow.ArrowInvalid as error:
        raise FileError(f"{file.path}: not a Parquet file: {error}") from error
    columns = _columns(kind, table.schema_arrow.names, file.path)
    position = 1
    for batch in table.iter_batches(batch_size=BATCH):
        rows = columns.nested(position, _microseconds(batch).to_pylist())
        yield _in_time(kind, rows)
        position += len(rows)


def _columns(kind: str, names: list[str], path: Path) -> Columns:
    try:
        columns = Columns(kind, names)
    except UnknownColumnError as error:
        raise FileError(f"{path}: {error}") from error
    if columns.left_out:
        stderr.print(
            f"{path.name}: no field of {kind}, left out: {', '.join(columns.left_out)}",
            markup=False,
            soft_wrap=True,
        )
    return columns


def _microseconds(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Nanoseconds become pandas objects in Python; the store keeps microseconds anyway."""
    for i, column in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
            cast = batch.column(i).cast(pyarrow.timestamp("us", tz=column.type.tz), safe=False)
            batch = batch.set_column(i, column.with_type(cast.type), cast)
    return batch


def _in_time(kind: str, rows: list[Row]) -> Parsed:
    return native.in_time(kind, converted(kind, rows), datetime.now(UTC), None)


def _numbered(parsed: Parsed, first: int) -> Parsed:
    """Rejects count records of the chunk from 0; a file's rows count from 1."""
    rejects: list[Reject] = [
        msgspec.structs.replace(reject, index=first + reject.index) for reject in parsed.rejects
    ]
    return Parsed(parsed.records, rejects)
