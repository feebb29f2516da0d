"""The public traces go in once, whatever they are called, and come out exact."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.support.instance import Instance


def test_azure_trace_is_counted_once_and_exactly(demo: Instance, shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "azure_llm_2023_conv.csv"
    first = demo.json("load", "spans", str(file), "--format", "azure", "--json")
    again = demo.json("load", "spans", str(file), "--format", "azure", "--json")
    renamed = shutil.copy(file, tmp_path / "another-name.csv")
    copied = demo.json("load", "spans", str(renamed), "--format", "azure", "--json")

    assert first == {"accepted": 19_366, "duplicates": 0, "rejected": 0}
    assert again == copied == {"accepted": 0, "duplicates": 19_366, "rejected": 0}

    written = pd.read_csv(file)
    with demo.client() as client:
        rows = client.query(
            "SELECT sum(request_count), sum(prompt_tokens), sum(completion_tokens) FROM kpi_daily "
            "WHERE period_start >= '2023-11-01' AND period_start < '2023-12-01'"
        ).result_rows
    assert rows == [(len(written), written["ContextTokens"].sum(), written["GeneratedTokens"].sum())]


def test_mooncake_trace_with_its_cached_tokens(demo: Instance, shared_data: Path) -> None:
    file = shared_data / "mooncake_conversation.jsonl"
    first = demo.json("load", "spans", str(file), "--format", "mooncake", "--json")
    again = demo.json("load", "spans", str(file), "--format", "mooncake", "--json")
    assert first == {"accepted": 12_031, "duplicates": 0, "rejected": 0}
    assert again == {"accepted": 0, "duplicates": 12_031, "rejected": 0}

    seen: set[int] = set()
    prompt = completion = cached = 0
    for line in file.read_text().splitlines():
        request = json.loads(line)
        prompt += request["input_length"]
        completion += request["output_length"]
        known = next(
            (i for i, block in enumerate(request["hash_ids"]) if block not in seen), len(request["hash_ids"])
        )
        cached += min(known * 512, request["input_length"])
        seen.update(request["hash_ids"])
    with demo.client() as client:
        (day,) = client.query(
            "SELECT toDate(min(timestamp)) FROM llm_traces WHERE source = 'mooncake'"
        ).first_row
        rows = client.query(
            "SELECT sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens) FROM kpi_daily "
            "WHERE toDate(period_start) = {day:Date} "
            "AND (tenant_id, model, prompt_template_version) IN "
            "(SELECT tenant_id, model, prompt_template_version FROM llm_traces WHERE source = 'mooncake')",
            parameters={"day": day},
        ).result_rows
    assert rows == [(prompt, completion, cached)]


@pytest.mark.parametrize("kind", ["spans"])
def test_bad_rows_are_named_and_kept_apart(demo: Instance, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "half-good.ndjson"
    good = {
        "trace_id": "half-good-1",
        "span_id": "1",
        "timestamp": "2024-01-15T09:23:47.123Z",
        "model": "claude-sonnet-4-5",
        "tokens": {"prompt": 10, "completion": 5},
        "tenant_id": "half-good",
    }
    bad = {**good, "trace_id": "half-good-2", "tokens": {"prompt": -1, "completion": 5}}
    file.write_text("\n".join(json.dumps(row) for row in (good, bad)))
    assert demo.json("load", kind, str(file), "--json") == {"accepted": 1, "duplicates": 0, "rejected": 1}
    with demo.client() as client:
        rows = client.query(
            "SELECT field, payload FROM ingest_rejects WHERE payload LIKE '%half-good-2%'"
        ).result_rows
    assert len(rows) == 1
    assert rows[0][0] == "tokens.prompt"
