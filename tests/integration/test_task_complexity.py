"""From a prompt at the loader to Normalized Token Cost by canonical examples, by the commands of people."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from assay.cli.loading import WRITER_STATUS
from assay.cli.main import app
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.processes import wait_for
from tests.support.stores import Valkey
from tests.support.writing import NOW, Bench

REQUESTS = {
    "short summary": "Summarise these notes in one sentence: the launch slips to May. Mail ann@example.org",
    "proof": "Prove that every bounded monotone sequence of real numbers converges.",
}


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ndjson(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("\n".join(json.dumps(record) for record in records))
    return str(path)


def calls(tenant: str) -> list[dict[str, Any]]:
    """Ten of each kind, 0.006 dollars each."""
    return [
        {
            "trace_id": f"{tenant}-{kind}-{n}",
            "span_id": "s",
            "timestamp": NOW.isoformat(),
            "tenant_id": tenant,
            "model": "claude-sonnet-4-5",
            "task_type": kind,
            "tokens": {"prompt": 1000, "completion": 200},
            "input": f"{text} ({n})",
        }
        for kind, text in REQUESTS.items()
        for n in range(10)
    ]


def test_cost_per_unit_of_work_where_nobody_was_timed(
    built: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = valkey.url.rsplit("/", 1)[0] + "/6"
    settings = built.model_copy(update={"redis_url": url})
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", settings.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", settings.clickhouse_database)
    monkeypatch.setenv("ASSAY_REDIS_URL", url)
    mart = (
        "SELECT task_type, sum(request_count), sum(cost_usd), any(task_complexity), any(complexity_source), "
        "any(complexity_scale), any(complexity_samples), sum(normalized_cost_usd) "
        "FROM normalized_cost_daily GROUP BY task_type ORDER BY task_type"
    )
    with redis.Redis.from_url(url) as queue, connect(settings) as store:
        queue.flushdb()
        with Bench(settings, queue, store).running():
            wait_for(lambda: queue.hexists(WRITER_STATUS, "at"), "a writer")
            tenants = [
                {"tenant_id": "org_1", "name": "One", "capture": "full"},
                {"tenant_id": "org_2", "name": "Two", "capture": "none"},
            ]
            run("load", "tenants", ndjson(tmp_path / "tenants.ndjson", *tenants))
            spans = ndjson(tmp_path / "spans.ndjson", *calls("org_1"), *calls("org_2"))
            assert run("load", "spans", spans)["accepted"] == 40
            examples = [
                {"task_type": "examples", "text": "Summarise the report in one sentence.", "complexity": 2},
                {"task_type": "examples", "text": "Summarise the meeting notes.", "complexity": 2},
                {"task_type": "more examples", "text": "Prove that the sequence converges.", "complexity": 8},
            ]
            run("load", "examples", ndjson(tmp_path / "examples.ndjson", *examples))
        unknown = store.query(mart).result_rows
        assert [row[3:] for row in unknown] == [(None, "none", "none", 0, None)] * 2
        done = run("embed")
        assert (done["texts"], done["examples"], done["beyond_daily_limit"]) == (20, 3, 0)
        assert run("embed")["texts"] == 0
        # Only the tenant that allows it was embedded, and the address was masked before that.
        assert store.query(
            "SELECT DISTINCT tenant_id, embedder, length(embedding) FROM llm_embeddings"
        ).result_rows == [("org_1", done["embedder"], 256)]
        assert store.query("SELECT countIf(position(input, 'ann@') > 0) FROM llm_payloads").result_rows == [
            (0,)
        ]
        rows = {row[0]: row[1:] for row in store.query(mart).result_rows}
        queue.flushdb()
    estimated = {row["task_type"]: row for row in done["task_types"]}
    # Nearer to summaries, or to proofs; 1 is the typical type of the examples, halfway from 2 to 8.
    assert 2 <= estimated["short summary"]["complexity"] < 4 < 5 < estimated["proof"]["complexity"] <= 8
    for kind, row in estimated.items():
        requests, cost, complexity, source, scale, samples, normalized = rows[kind]
        assert (requests, cost, source, scale, samples) == (20, Decimal("0.12"), "examples", "examples", 10)
        assert float(complexity) == pytest.approx(row["complexity"] / 5, abs=1e-6)
        assert abs(normalized - cost / complexity) < Decimal("1e-9")
