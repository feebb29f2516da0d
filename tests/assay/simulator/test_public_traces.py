"""Readers of public traces, against the traces themselves and against bad lines."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.envelope import Reject
from assay.contracts.records import Span
from assay.simulator.public_traces import AZURE, BLOCK, MOONCAKE_START, TraceError, read

HEADER = b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n"


def records(name: str, content: bytes) -> list[Span]:
    return [record for parsed in read(name, io.BytesIO(content)) for record in parsed.records]


def rejects(name: str, content: bytes) -> list[Reject]:
    return [reject for parsed in read(name, io.BytesIO(content)) for reject in parsed.rejects]


@pytest.mark.parametrize(
    ("file", "count"), [("azure_llm_2023_conv.csv", 19_366), ("azure_llm_2023_code.csv", 8_819)]
)
def test_azure_is_read_completely(shared_data: Path, file: str, count: int) -> None:
    content = (shared_data / file).read_bytes()
    found = records("azure", content)
    with (shared_data / file).open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert len(found) == len(rows) == count
    assert not rejects("azure", content)
    assert sum(span.tokens.prompt for span in found) == sum(int(row["ContextTokens"]) for row in rows)
    assert sum(span.tokens.completion for span in found) == sum(int(row["GeneratedTokens"]) for row in rows)
    assert {span.tokens.cached for span in found} == {None}
    assert len({(span.tenant_id, span.trace_id, span.span_id) for span in found}) == count


def test_azure_times_are_utc_to_the_microsecond(shared_data: Path) -> None:
    found = records("azure", (shared_data / "azure_llm_2023_conv.csv").read_bytes())
    assert found[0].timestamp == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)


def test_mooncake_cached_tokens_follow_from_its_blocks(shared_data: Path) -> None:
    content = (shared_data / "mooncake_conversation.jsonl").read_bytes()
    found = records("mooncake", content)
    rows = [json.loads(line) for line in content.splitlines()]
    # Written another way than the reader does: a block's first appearance decides from when on it is cached.
    first: dict[int, int] = {}
    for number, row in enumerate(rows):
        for block in row["hash_ids"]:
            first.setdefault(block, number)
    expected = []
    for number, row in enumerate(rows):
        new = [i for i, block in enumerate(row["hash_ids"]) if first[block] == number]
        run = new[0] if new else len(row["hash_ids"])
        expected.append(min(run * BLOCK, row["input_length"]))
    assert len(found) == 12_031
    assert [span.tokens.cached for span in found] == expected
    assert sum(span.tokens.prompt for span in found) == sum(row["input_length"] for row in rows)
    assert sum(span.tokens.completion for span in found) == sum(row["output_length"] for row in rows)
    assert len({(span.tenant_id, span.trace_id, span.span_id) for span in found}) == 12_031


def test_equal_lines_are_different_requests_and_a_second_reading_gives_the_same() -> None:
    line = b"2023-11-16 18:15:46.6805900,374,44\r\n"
    once, twice = records("azure", HEADER + line), records("azure", HEADER + line + line)
    assert twice[0] == once[0]
    assert twice[0].trace_id != twice[1].trace_id
    assert records("azure", HEADER + line + line) == twice


def test_the_last_line_may_lack_its_newline() -> None:
    assert len(records("azure", HEADER + b"2023-11-16 18:15:46.6805900,374,44")) == 1


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"yesterday,1,2", "TIMESTAMP"),
        (b"2023-13-16 18:15:46.0000000,1,2", "TIMESTAMP"),
        (b"2023-11-16 18:15:46.+5,1,2", "TIMESTAMP"),
        (b"2023-11-16 18:15:46.0000000,-1,2", "ContextTokens"),
        (b"2023-11-16 18:15:46.0000000,1,4294967296", "GeneratedTokens"),
        (b"2023-11-16 18:15:46.0000000,1.5,2", "ContextTokens"),
        (b"2023-11-16 18:15:46.0000000,1", ""),
        ("2023-11-16 18:15:46.0000000,١,2".encode(), "ContextTokens"),
    ],
)
def test_a_bad_azure_line_is_refused_alone(line: bytes, field: str) -> None:
    content = HEADER + b"2023-11-16 18:15:46.68,374,44\r\n" + line + b"\r\n2023-11-16 18:15:47.68,374,44"
    assert len(records("azure", content)) == 2
    (reject,) = rejects("azure", content)
    assert (reject.index, reject.field) == (2, field)
    assert reject.reason


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"timestamp": 1, "input_length": -1, "output_length": 1, "hash_ids": []}',
        b'{"timestamp": 1e300, "input_length": 1, "output_length": 1, "hash_ids": []}',
        b'{"timestamp": 1, "input_length": 1, "hash_ids": []}',
        b'\xff{"timestamp": 1}',
    ],
)
def test_a_bad_mooncake_line_is_refused_alone(line: bytes) -> None:
    good = b'{"timestamp": 27482, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'
    found = records("mooncake", good + line + b"\n" + good)
    assert [span.tokens.cached for span in found] == [0, 600]
    assert (found[0].timestamp - MOONCAKE_START).total_seconds() == 27.482
    assert [reject.index for reject in rejects("mooncake", good + line + b"\n" + good)] == [2]


def test_another_file_is_refused_as_a_whole() -> None:
    with pytest.raises(TraceError, match=r"TIMESTAMP,ContextTokens,GeneratedTokens.*found 'a,b'"):
        records("azure", b"a,b\n1,2\n")


@given(st.binary(max_size=400))
def test_nothing_raises_on_any_bytes(content: bytes) -> None:
    lines = [line for line in content.split(b"\n") if line.strip()]
    found = records("mooncake", content), rejects("mooncake", content)
    assert len(found[0]) + len(found[1]) == len(lines)


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_assignment_stays_within_what_is_documented(digest: int) -> None:
    tenant, provider, model, template = AZURE.choose(digest)
    assert tenant in AZURE.tenants
    assert (provider, model) in AZURE.models
    assert template in AZURE.templates
