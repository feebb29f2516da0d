"""Files of records: every format, compression and kind of damage."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from assay.cli import files
from assay.cli.files import FileError
from assay.collector.envelope import Reject
from assay.contracts.records import Evaluation, Feedback, Incident, Record, Span

SPAN: dict[str, Any] = {
    "trace_id": "t1",
    "span_id": "s1",
    "timestamp": "2024-01-15T09:23:47.123Z",
    "model": "claude-haiku-4-5",
    "tokens": {"prompt": 1247, "completion": 342, "cached": 800},
    "cost_usd": "0.00471",
    "latency_ms": 1843,
    "tenant_id": "org_42",
}
CSV = (
    "trace_id,span_id,timestamp,model,tokens.prompt,tokens.completion,tokens.cached,cost_usd,latency_ms,tenant_id\n"
    "t1,s1,2024-01-15T09:23:47.123Z,claude-haiku-4-5,1247,342,800,0.00471,1843,org_42\n"
)


def read(path: Path, kind: str = "span") -> tuple[list[Record], list[Reject]]:
    with files.opened(path) as file:
        parsed = list(files.batches(kind, file))
    return [r for p in parsed for r in p.records], [r for p in parsed for r in p.rejects]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, rows: list[dict[str, Any]], schema: pyarrow.Schema | None = None) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)
    return path


def the_span(record: Record) -> None:
    assert isinstance(record, Span)
    assert (record.trace_id, record.span_id, record.tenant_id) == ("t1", "s1", "org_42")
    assert record.timestamp == datetime(2024, 1, 15, 9, 23, 47, 123000, tzinfo=UTC)
    assert (record.tokens.prompt, record.tokens.completion, record.tokens.cached) == (1247, 342, 800)
    assert record.tokens.cache_write is None
    assert record.cost_usd == Decimal("0.00471")
    assert record.latency_ms == 1843


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ndjson", json.dumps(SPAN) + "\n\n" + json.dumps({**SPAN, "span_id": "s2"})),
        ("a.jsonl", json.dumps(SPAN) + "\r\n" + json.dumps({**SPAN, "span_id": "s2"}) + "\r\n"),
        ("a.json", json.dumps([SPAN, {**SPAN, "span_id": "s2"}], indent=2)),
        ("a.csv", CSV + "t1,s2,2024-01-15T09:23:47.123Z,claude-haiku-4-5,1247,342,800,0.00471,1843,org_42"),
        ("a.csv", "\ufeff" + CSV.replace("\n", "\r\n") + "\r\n" + CSV.splitlines()[1].replace("s1", "s2")),
    ],
)
def test_every_format_gives_the_same_records(tmp_path: Path, name: str, content: str, suffix: str) -> None:
    packed: dict[str, Callable[[bytes], bytes]] = {
        "": lambda data: data,
        ".gz": gzip.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }
    records, rejects = read(write(tmp_path / f"{name}{suffix}", packed[suffix](content.encode())))
    assert rejects == []
    assert [record.span_id for record in records if isinstance(record, Span)] == ["s1", "s2"]
    the_span(records[0])


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_with_nested_tokens(tmp_path: Path, unit: str) -> None:
    schema = pyarrow.schema(
        [
            ("trace_id", pyarrow.string()),
            ("span_id", pyarrow.large_string()),
            ("timestamp", pyarrow.timestamp(unit, tz="UTC")),
            ("model", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
            ("tenant_id", pyarrow.string()),
            ("cost_usd", pyarrow.float64()),
            ("latency_ms", pyarrow.float64()),
            ("tokens", pyarrow.struct([(n, pyarrow.int32()) for n in ("prompt", "completion", "cached")])),
            ("quality", pyarrow.struct([("evaluator", pyarrow.string()), ("score", pyarrow.float64())])),
        ]
    )
    row = {**SPAN, "timestamp": datetime(2024, 1, 15, 9, 23, 47, 123000, tzinfo=UTC), "cost_usd": 0.00471}
    path = parquet(tmp_path / "a.parquet", [{**row, "quality": None}, {**row, "span_id": None}], schema)
    records, rejects = read(path)
    the_span(records[0])
    assert [(r.index, r.field) for r in rejects] == [(2, "span_id")]


def test_parquet_with_dotted_columns_and_compressed(tmp_path: Path) -> None:
    row = {k: v for k, v in SPAN.items() if k != "tokens"} | {
        f"tokens.{name}": float(count) for name, count in SPAN["tokens"].items()
    }
    plain = parquet(tmp_path / "a.parquet", [row])
    records, rejects = read(write(tmp_path / "b.parquet.gz", gzip.compress(plain.read_bytes())))
    assert rejects == []
    the_span(records[0])


def test_an_empty_cell_is_an_absent_field_and_where_null_has_a_meaning_null(tmp_path: Path) -> None:
    (span,), rejects = read(write(tmp_path / "a.csv", CSV.replace("800", "").replace("0.00471", "")))
    assert rejects == []
    assert isinstance(span, Span)
    assert (span.tokens.cached, span.cost_usd) == (None, None)
    time = "2024-01-15T09:23:47Z"
    content = f"trace_id,evaluator,score,timestamp\nt,judge,,{time}\nt,judge,0.5,{time}\n"
    records, rejects = read(write(tmp_path / "b.csv", content), "evaluation")
    assert rejects == []
    assert [r.score for r in records if isinstance(r, Evaluation)] == [None, 0.5]


def test_maps_and_lists_in_cells(tmp_path: Path) -> None:
    header, line = CSV.splitlines()
    content = (
        f'{header},attributes.a.b,units,context\n{line},x,"{{""images"": 2}}","[""one"", ""two""]"\n'
        f"{line.replace('s1', 's2')},,,not json\n"
    )
    records, rejects = read(write(tmp_path / "a.csv", content))
    (span,) = records
    assert isinstance(span, Span)
    assert (span.attributes, span.units, span.context) == (
        {"a.b": "x"},
        {"images": Decimal(2)},
        ["one", "two"],
    )
    assert [(r.index, "context" in r.reason) for r in rejects] == [(2, True)]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("t,s,2024-01-15T09:23:47Z,m,-1,2,,,,o", "tokens.prompt", ">= 0"),
        ("t,s,2024-01-15T09:23:47Z,m,many,2,,,,o", "tokens.prompt", "int"),
        ("t,s,2024-01-15T09:23:47Z,m,1,2,3,,,o", "tokens.cached", "exceed"),
        ("t,s,2024-01-15 09:23:47,m,1,2,,,,o", "timestamp", "UTC offset"),
        ("t,s,yesterday,m,1,2,,,,o", "timestamp", "RFC 3339"),
        ("t,s,1969-01-15T09:23:47Z,m,1,2,,,,o", "timestamp", "before 1970"),
        ("t,s,2824-01-15T09:23:47Z,m,1,2,,,,o", "timestamp", "in the future"),
        ("t,s,2024-01-15T09:23:47Z,m,1,2,,-5,,o", "cost_usd", "0 or more"),
        (",s,2024-01-15T09:23:47Z,m,1,2,,,,o", "trace_id", "missing"),
        ("t,s,2024-01-15T09:23:47Z,m,1,2,,,o", "", "9 cells where the header has 10"),
        ('t,s,2024-01-15T09:23:47Z,m,1,2,,,,"a"b', "", "not CSV"),
    ],
)
def test_a_bad_row_is_refused_alone_with_its_number(
    tmp_path: Path, line: str, field: str, reason: str
) -> None:
    good = CSV.splitlines()[1]
    records, rejects = read(write(tmp_path / "a.csv", f"{CSV}{line}\n\n{good.replace('s1', 's3')}\n"))
    assert [r.span_id for r in records if isinstance(r, Span)] == ["s1", "s3"]
    (reject,) = rejects
    assert (reject.index, reject.field) == (2, field)
    assert reason in reject.reason


def test_bytes_that_are_no_text_cost_one_row(tmp_path: Path) -> None:
    content = CSV.encode() + CSV.splitlines()[1].encode().replace(b"org_42", b"org\xff") + b"\n"
    records, rejects = read(write(tmp_path / "a.csv", content))
    assert len(records) == 1
    assert [(r.index, "`tenant_id` is not UTF-8" in r.reason) for r in rejects] == [(2, True)]
    lines = json.dumps(SPAN).encode()
    records, rejects = read(write(tmp_path / "a.ndjson", lines + b"\n\xff\n" + lines + b"\n{"))
    assert len(records) == 2
    assert [r.index for r in rejects] == [2, 4]


def test_rows_are_numbered_through_all_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH", 3)
    good, bad = json.dumps(SPAN), json.dumps({**SPAN, "model": ""})
    lines = [bad if n % 5 == 0 else good for n in range(1, 18)]
    for name, content in (("a.ndjson", "\n".join(lines)), ("a.json", f"[{','.join(lines)}]")):
        records, rejects = read(write(tmp_path / name, content))
        assert len(records) == 14
        assert [r.index for r in rejects] == [5, 10, 15]
    rows = [{**SPAN, "model": None if n % 5 == 0 else "m"} for n in range(1, 18)]
    _, rejects = read(parquet(tmp_path / "a.parquet", rows))
    assert [r.index for r in rejects] == [5, 10, 15]


def test_a_column_of_its_own_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (
        "id,tenant_id,start,end,expected,tolerate\ni,t,2025-11-20T09:55:00Z,2025-11-20T12:02:00Z,page,page\n"
    )
    (record,), rejects = read(write(tmp_path / "incidents.csv", content), "incident")
    assert isinstance(record, Incident)
    assert rejects == []
    assert "left out: tolerate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tokens.cached", "tokens.cahced", "did you mean `tokens.cached`"),
        ("latency_ms", "Latency_ms", "did you mean `latency_ms`"),
        ("latency_ms", "model", "`model` stands more than once"),
    ],
)
def test_a_misspelt_column_stops_before_anything_is_loaded(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(FileError, match=message):
        read(write(tmp_path / "a.csv", CSV.replace(old, new)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"must end in \.ndjson"),
        ("a.gz", b"", r"must end in \.ndjson"),
        ("a.csv", b"", "must name the columns"),
        ("a.json", b"[{}", "not a JSON array"),
        ("a.parquet", b"not parquet at all", "not a Parquet file"),
        ("a.ndjson.gz", gzip.compress(json.dumps(SPAN).encode())[:-9], "damaged or ends too early"),
        ("a.ndjson.gz", b"plain", "damaged or ends too early"),
        ("a.ndjson.zst", b"plain", "damaged or ends too early"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read(write(tmp_path / name, content))


def test_a_json_file_may_hold_one_object_or_lines(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "a.json", json.dumps(SPAN, indent=2)))[0]) == 1
    assert len(read(write(tmp_path / "a.json", f"{json.dumps(SPAN)}\n{json.dumps(SPAN)}\n"))[0]) == 2


def test_the_share_read_ends_at_all_of_it(tmp_path: Path) -> None:
    for name, content in (("a.csv", CSV), ("a.ndjson", json.dumps(SPAN))):
        with files.opened(write(tmp_path / name, content)) as file:
            list(files.batches("span", file))
            assert file.share() == 1.0


@given(
    rows=st.lists(
        st.tuples(st.floats(-1, 1), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
    )
)
def test_what_is_written_as_csv_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    lines = ["trace_id,value,comment,timestamp"]
    for value, comment in rows:
        quoted = '"' + comment.replace('"', '""') + '"'
        lines.append(f"t,{value!r},{quoted},2024-01-15T09:23:47Z")
    records, rejects = read(write(path, "\n".join(lines)), "feedback")
    assert rejects == []
    found = [(r.value, r.comment) for r in records if isinstance(r, Feedback)]
    assert found == [(value, comment or None) for value, comment in rows]


def test_the_shared_sample_is_read_completely(shared_data: Path) -> None:
    records, rejects = read(shared_data / "incidents_dev" / "incidents.csv", "incident")
    assert rejects == []
    assert len(records) == 16
    with files.opened(shared_data / "incidents_dev" / "spans.parquet") as file:
        parsed = next(files.batches("span", file))
    assert (len(parsed.records), parsed.rejects) == (files.BATCH, [])
