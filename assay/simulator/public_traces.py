"""Public request traces as records: Azure's of 2023 and Mooncake's of 2025.

What is in the files and is kept exactly: times, prompt and completion tokens, and for Mooncake the cached
tokens that follow from its prefix blocks. Everything else is **assigned**, because the traces do not tell:

- *identity*: the hash of a record's content and of its place among records of the same content, so that the
  same file under another name holds the same records;
- *tenant, model, template*: drawn from that hash by the shares in :data:`AZURE` and :data:`MOONCAKE`;
- *Mooncake's date*: its times count from the start of the trace; here that is :data:`MOONCAKE_START`, the
first
  day of the conference at which it was published.

Sources: Azure/AzurePublicDataset (CC-BY 4.0; Patel et al., "Splitwise", ISCA 2024), kvcache-ai/Mooncake
(Apache-2.0; Qin et al., "Mooncake", FAST 2025).
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import IO, Final, NamedTuple

import msgspec
import xxhash

from assay.collector.envelope import Reject
from assay.collector.native import Parsed, rejected
from assay.collector.reasons import Reason
from assay.contracts.fields import Tokens32
from assay.contracts.records import Record, Span, Tokens

FORMATS: Final = ("azure", "mooncake")
MOONCAKE_START: Final = datetime(2025, 2, 25, tzinfo=UTC)
# Tokens of one prefix block (Mooncake's README).
BLOCK: Final = 512
BATCH: Final = 4000

_AZURE_COLUMNS: Final = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]


class TraceError(ValueError):
    """The file is not of the format; the message says what was expected."""


@dataclass(frozen=True)
class Assigned:
    """What a trace does not tell and gets by hash. Each choice is equally likely."""

    tenants: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    templates: tuple[str, ...]
    task_type: str

    def choose(self, digest: int) -> tuple[str, str, str, str]:
        """(tenant, provider, model, template) for the hash of a record."""
        digest, tenant = divmod(digest, len(self.tenants))
        digest, model = divmod(digest, len(self.models))
        template = digest % len(self.templates)
        return (self.tenants[tenant], *self.models[model], self.templates[template])


AZURE: Final = Assigned(
    tenants=("azure-a", "azure-b", "azure-c", "azure-d"),
    models=(("openai", "gpt-4o"), ("openai", "gpt-4o-mini")),
    templates=("azure-chat-v1", "azure-chat-v2", "azure-chat-v3"),
    task_type="azure-trace",
)
MOONCAKE: Final = Assigned(
    tenants=("mooncake-a", "mooncake-b", "mooncake-c"),
    models=(("anthropic", "claude-haiku-4-5"), ("openai", "gpt-4.1-mini")),
    templates=("mooncake-chat-v1", "mooncake-chat-v2"),
    task_type="mooncake-trace",
)


def read(name: str, stream: IO[bytes]) -> Iterator[Parsed]:
    """The records of a trace of one of :data:`FORMATS`, in batches.

    Raises:
        TraceError: the file is not of that format.
    """
    rows = _azure(stream) if name == "azure" else _mooncake(stream)
    while chunk := list(islice(rows, BATCH)):
        yield Parsed(
            [row for row in chunk if isinstance(row, Record)],
            [row for row in chunk if isinstance(row, Reject)],
        )


def _azure(stream: IO[bytes]) -> Iterator[Span | Reject]:
    reader = csv.reader(codecs.iterdecode(stream, "utf-8-sig", errors="replace"), quoting=csv.QUOTE_NONE)
    header = next(reader, [])
    if header != _AZURE_COLUMNS:
        raise TraceError(
            f"not an Azure trace: the first line must be {','.join(_AZURE_COLUMNS)}, "
            f"found {','.join(header)[:200]!r}"
        )
    ids = _Ids("azure")
    number = 0
    for cells in reader:
        if not cells:
            continue
        number += 1
        payload = ",".join(cells)
        if len(cells) != len(_AZURE_COLUMNS):
            yield _reject(number, "", f"{len(cells)} cells, {len(_AZURE_COLUMNS)} expected", payload)
            continue
        try:
            timestamp = _azure_time(cells[0])
        except ValueError:
            yield _reject(
                number, "TIMESTAMP", f"`TIMESTAMP` = {cells[0][:64]!r} is not a time in UTC", payload
            )
            continue
        tokens = [_count(cell) for cell in cells[1:]]
        if tokens[0] is None or tokens[1] is None:
            name = _AZURE_COLUMNS[1 + tokens.index(None)]
            yield _reject(number, name, f"`{name}` has to be a count of tokens", payload)
            continue
        yield _span(AZURE, ids.take(payload), timestamp, Tokens(prompt=tokens[0], completion=tokens[1]))


class _Request(msgspec.Struct):
    timestamp: float
    input_length: Tokens32
    output_length: Tokens32
    hash_ids: list[int]


def _mooncake(stream: IO[bytes]) -> Iterator[Span | Reject]:
    decoder = msgspec.json.Decoder(_Request)
    ids = _Ids("mooncake")
    # An unbounded cache: every block that was ever sent is still there.
    seen: set[int] = set()
    number = 0
    for line in stream:
        if not line.strip():
            continue
        number += 1
        try:
            request = decoder.decode(line)
            timestamp = MOONCAKE_START + timedelta(milliseconds=request.timestamp)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
            yield _reject(
                number, "", f"not a request of a Mooncake trace: {error}", line.decode("utf-8", "replace")
            )
            continue
        cached = min(_leading_run(request.hash_ids, seen) * BLOCK, request.input_length)
        seen.update(request.hash_ids)
        content = (
            f"{request.timestamp:g}|{request.input_length}|{request.output_length}|"
            f"{','.join(map(str, request.hash_ids))}"
        )
        tokens = Tokens(prompt=request.input_length, completion=request.output_length, cached=cached)
        yield _span(MOONCAKE, ids.take(content), timestamp, tokens)


def _leading_run(blocks: list[int], seen: set[int]) -> int:
    for length, block in enumerate(blocks):
        if block not in seen:
            return length
    return len(blocks)


class _Id(NamedTuple):
    digest: int
    trace_id: str
    span_id: str


class _Ids:
    """Ids from content and place among equal contents."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._met: Counter[str] = Counter()

    def take(self, content: str) -> _Id:
        ordinal = self._met[content]
        self._met[content] += 1
        digest = xxhash.xxh3_128_intdigest(f"{self._name}|{content}|{ordinal}".encode())
        trace_id = f"{digest:032x}"
        return _Id(digest, trace_id, trace_id[:16])


def _span(assigned: Assigned, identity: _Id, timestamp: datetime, tokens: Tokens) -> Span:
    tenant_id, provider, model, template = assigned.choose(identity.digest)
    return Span(
        trace_id=identity.trace_id,
        span_id=identity.span_id,
        timestamp=timestamp,
        model=model,
        provider=provider,
        tokens=tokens,
        tenant_id=tenant_id,
        prompt_template_version=template,
        task_type=assigned.task_type,
    )


def _azure_time(text: str) -> datetime:
    """``2023-11-16 18:15:46.6805900``, naive UTC; digits beyond the microsecond are cut, not rounded."""
    whole, _, fraction = text.partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    if fraction and not fraction.isdecimal():
        raise ValueError(text)
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0") or 0))


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and int(text) <= 4_294_967_295 else None


def _reject(number: int, field: str, reason: str, payload: str) -> Reject:
    return rejected(number, Reason(field, reason[:400]), payload.encode())
