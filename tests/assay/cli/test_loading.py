"""``assay load`` through the real queue, writer and store; counts and totals exact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from rich.progress import Progress

from assay.cli.demo import load_past
from assay.cli.loading import KINDS, WRITER_STATUS, LoadError, load_file
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.databases import Databases
from tests.support.processes import python, running
from tests.support.stores import Valkey

TIME = "2024-01-15T09:23:47Z"


class Loader:
    """The command on one store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.env = {
            **os.environ,
            "ASSAY_CLICKHOUSE_URL": settings.clickhouse,
            "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
            "ASSAY_REDIS_URL": settings.redis,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "assay.cli.main", "load", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.env,
            timeout=120,
        )

    def load(self, kind: str, file: str | Path, file_format: str = "native") -> dict[str, int]:
        """What the command does, without the second that a process takes to start."""
        return load_file(self.settings, KINDS[kind], Path(file), file_format, Progress(disable=True))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.settings) as client:
            return [tuple(row) for row in client.query(sql).result_rows]


@pytest.fixture(scope="module")
def loader(
    built_databases: Databases, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loader]:
    """The command with a writer behind it, on a database and a queue of this module alone."""
    url = valkey.url.rsplit("/", 1)[0] + "/7"
    with built_databases.lend(redis_url=url) as settings, redis.Redis.from_url(url) as queue:
        queue.flushdb()
        found = Loader(settings)
        log = tmp_path_factory.mktemp("writer") / "log.txt"
        ready = lambda: bool(queue.hget(WRITER_STATUS, "at"))  # noqa: E731
        with running(python("assay.collector.writer"), ready=ready, log=log, env=found.env):
            yield found


def ndjson(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("\n".join(json.dumps(record) for record in records))
    return str(path)


def span(trace_id: str, **more: Any) -> dict[str, Any]:
    return {
        "trace_id": trace_id,
        "span_id": "s",
        "timestamp": TIME,
        "model": "gpt-4o-mini",
        "tenant_id": "loaded",
        "tokens": {"prompt": 10, "completion": 5},
        **more,
    }


@pytest.fixture(scope="module")
def first_loads(loader: Loader, shared_data: Path) -> dict[str, dict[str, int]]:
    """The public traces in the store, and what their first load counted, whichever test comes first."""
    command = loader.run("spans", str(shared_data / "azure_llm_2023_conv.csv"), "--format", "azure", "--json")
    return {
        "azure": json.loads(command.stdout),
        "mooncake": loader.load("spans", shared_data / "mooncake_conversation.jsonl", "mooncake"),
    }


def test_azure_is_loaded_once_whatever_the_file_is_called(
    loader: Loader, shared_data: Path, first_loads: dict[str, dict[str, int]], tmp_path: Path
) -> None:
    file = shared_data / "azure_llm_2023_conv.csv"
    assert first_loads["azure"] == {"accepted": 19_366, "duplicates": 0, "rejected": 0}
    renamed = tmp_path / "other-name.csv"
    shutil.copy(file, renamed)
    for again in (file, renamed):
        counts = loader.load("spans", again, "azure")
        assert counts == {"accepted": 0, "duplicates": 19_366, "rejected": 0}
    totals = loader.query(
        "SELECT sum(request_count), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens) "
        "FROM kpi_daily WHERE startsWith(tenant_id, 'azure-')"
    )
    # The sums of the file's two columns; it tells nothing about the cache, which is not the same as none.
    assert totals == [(19_366, 22_361_870, 4_088_665, None)]
    assert loader.query("SELECT DISTINCT source FROM llm_traces WHERE startsWith(tenant_id, 'azure-')") == [
        ("azure",)
    ]


def test_mooncake_is_loaded_once_with_its_cached_tokens(
    loader: Loader, shared_data: Path, first_loads: dict[str, dict[str, int]]
) -> None:
    file = shared_data / "mooncake_conversation.jsonl"
    assert first_loads["mooncake"]["accepted"] == 12_031
    counts = loader.load("spans", file, "mooncake")
    assert counts == {"accepted": 0, "duplicates": 12_031, "rejected": 0}
    totals = loader.query(
        "SELECT sum(request_count), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens) "
        "FROM kpi_daily WHERE startsWith(tenant_id, 'mooncake-')"
    )
    assert totals == [(12_031, 144_793_823, 4_122_048, 54_098_411)]


SERIES = "tenant_id, model, prompt_template_version"
# Counts of calls and tokens by name in the raw table and in the rollups, and what percentiles are of.
SUMS = {
    "request_count": "count()",
    "cost_usd": "sum(cost_usd)",
    "prompt_tokens": "sum(prompt_tokens)",
    "completion_tokens": "sum(completion_tokens)",
    "cached_tokens": "sum(cached_tokens)",
    "cacheable_prompt_tokens": "sumIf(prompt_tokens, isNotNull(cached_tokens))",
}
MEASURED = {"cost": "toFloat64(cost_usd)", "completion_ratio": "completion_tokens / prompt_tokens"}


@pytest.mark.usefixtures("first_loads")
@pytest.mark.parametrize("grain, start", [("1min", "Minute"), ("1h", "Hour"), ("1d", "Day")])
def test_public_traces_read_the_same_from_rollups_and_raw_rows(
    loader: Loader, grain: str, start: str
) -> None:
    """Every series of every period: sums exactly, percentiles within 1 % of the value at their rank."""
    levels = (0.5, 0.95, 0.99)
    arrays = ", ".join(f"groupArray({sql}) AS values_{name}" for name, sql in MEASURED.items())
    found = {
        name: ", ".join(f"assay_quantile(sumMap({name}_histogram), {level})" for level in levels)
        for name in MEASURED
    }
    quantiles = ", ".join(f"[{sql}] AS found_{name}" for name, sql in found.items())
    # At most the rank's share lies more than the error below the percentile, at least it below or near it.
    outside = " OR ".join(
        f"arrayCount(v -> v < found_{name}[{i}] * 0.99 * (1 - 1e-9), values_{name}) > {level} * n"
        f" OR arrayCount(v -> v <= found_{name}[{i}] * 1.01 * (1 + 1e-9), values_{name}) < {level} * n"
        for name in MEASURED
        for i, level in enumerate(levels, 1)
    )
    ((periods, wrong_sums, wrong_percentiles),) = loader.query(f"""
        WITH raw AS (
            SELECT toStartOf{start}(timestamp) AS period, {SERIES}, count() AS n,
                toString(tuple({", ".join(SUMS.values())})) AS sums, {arrays}
            FROM llm_traces FINAL WHERE source IN ('azure', 'mooncake') AND billed GROUP BY period, {SERIES}
        ), rolled AS (
            SELECT period_start AS period, {SERIES},
                toString(tuple({", ".join(f"sum(k.{name})" for name in SUMS)})) AS sums, {quantiles}
            FROM llm_kpi_{grain} AS k WHERE match(tenant_id, '^(azure|mooncake)-') GROUP BY period, {SERIES}
        )
        SELECT count(), countIf(raw.sums != rolled.sums), countIf({outside})
        FROM raw FULL OUTER JOIN rolled USING (period, {SERIES})
    """)
    assert periods >= 24
    assert (wrong_sums, wrong_percentiles) == (0, 0)


def test_bad_rows_are_kept_apart_and_named(loader: Loader, tmp_path: Path) -> None:
    path = ndjson(tmp_path / "a.ndjson", span("bad-1"), span("bad-2", tokens={"prompt": -1, "completion": 1}))
    found = loader.run("spans", path)
    assert found.returncode == 0
    assert json.loads(found.stdout) == {"accepted": 1, "duplicates": 0, "rejected": 1}
    assert "a.ndjson: row 2: `tokens.prompt`" in " ".join(found.stderr.split())
    rows = loader.query(
        "SELECT position, field FROM ingest_rejects WHERE kind = 'span' AND payload LIKE '%bad-2%'"
    )
    assert rows == [(2, "tokens.prompt")]


def test_text_of_a_tenant_that_keeps_none_is_not_loaded(loader: Loader, tmp_path: Path) -> None:
    tenants = ndjson(
        tmp_path / "t.ndjson",
        {"tenant_id": "open", "capture": "full", "tier": "high_value"},
        {"tenant_id": "closed"},
    )
    assert loader.load("tenants", tenants)["accepted"] == 2
    text = {"input": "Who?", "output": "Me, me@example.com"}
    spans = ndjson(
        tmp_path / "s.ndjson",
        span("text-1", tenant_id="open", **text),
        span("text-2", tenant_id="closed", **text),
    )
    assert loader.load("spans", spans)["accepted"] == 2
    rows = loader.query(
        "SELECT tenant_id, input, output FROM llm_payloads WHERE tenant_id IN ('open', 'closed')"
    )
    assert [row[:2] for row in rows] == [("open", "Who?")]
    assert "me@example.com" not in rows[0][2]


class Shouting:
    """A redactor of one's own."""

    def redact(self, text: str) -> str:
        return text.upper()


SHOUTING = Shouting()


def test_text_is_redacted_by_the_redactor_of_the_settings(loader: Loader, tmp_path: Path) -> None:
    loader.load("tenants", ndjson(tmp_path / "t.ndjson", {"tenant_id": "loud", "capture": "full"}))
    path = tmp_path / "s.ndjson"
    ndjson(path, span("loud-1", tenant_id="loud", input="Who?", output="Me"))
    settings = loader.settings.model_copy(update={"redactor": f"{__name__}:SHOUTING"})
    assert load_file(settings, "span", path, "native", Progress(disable=True))["accepted"] == 1
    assert loader.query("SELECT input, output FROM llm_payloads WHERE tenant_id = 'loud'") == [("WHO?", "ME")]
    settings = loader.settings.model_copy(update={"redactor": "no.such:object"})
    with pytest.raises(LoadError, match="ASSAY_REDACTOR"):
        load_file(settings, "span", path, "native", Progress(disable=True))


@pytest.mark.parametrize(
    ("kind", "record", "table"),
    [
        (
            "outcomes",
            {"trace_id": "k", "event": "conversion", "value": 3.5, "timestamp": TIME},
            "business_outcomes",
        ),
        ("labels", {"trace_id": "k", "rater": "anna", "score": 0.5, "timestamp": TIME}, "human_labels"),
        (
            "task-times",
            {"task_type": "rag", "human_minutes": 4, "source": "survey", "timestamp": TIME},
            "task_times",
        ),
        ("examples", {"task_type": "rag", "text": "A text", "complexity": 2}, "canonical_examples"),
        (
            "invoices",
            {
                "provider": "openai",
                "model": "gpt-4o",
                "period_start": "2024-01-01",
                "period_end": "2024-02-01",
                "amount_usd": "12.34",
            },
            "provider_invoices",
        ),
        (
            "contracts",
            {
                "contract_id": "credit-1",
                "kind": "credit",
                "provider": "elsewhere",
                "amount_usd": "500",
                "valid_from": "2024-01-01",
                "source": "order 1",
            },
            "provider_contracts",
        ),
        (
            "exchange-rates",
            {"currency": "EUR", "day": "2024-01-31", "rate": "0.9223", "source": "ECB"},
            "exchange_rates",
        ),
        ("deployments", {"timestamp": TIME, "version": "v1", "description": "first"}, "deployments"),
        (
            "incidents",
            {"id": "i", "tenant_id": "t", "start": TIME, "end": "2024-01-15T10:00:00Z", "expected": "page"},
            "incidents",
        ),
    ],
)
def test_every_kind_is_queryable_when_the_command_returns(
    loader: Loader, tmp_path: Path, kind: str, record: dict[str, Any], table: str
) -> None:
    before = loader.query(f"SELECT count() FROM {table}")[0][0]
    counts = loader.load(kind, ndjson(tmp_path / "a.ndjson", record))
    assert counts == {"accepted": 1, "duplicates": 0, "rejected": 0}
    assert loader.query(f"SELECT count() FROM {table}")[0][0] == before + 1


def test_contracts_rates_and_calls_become_a_charge(loader: Loader, tmp_path: Path) -> None:
    """A million prompt tokens of gpt-4o-mini are 0.15 USD, of which a credit pays 0.05. A million tokens by a
    capacity of 31 USD for 44,640 million tokens bear 31 / 44,640 USD. A US dollar is half a franc.
    """
    who = {"tenant_id": "charged", "currency": "CHF"}
    contract = {"provider": "openai", "tenant_id": "charged", "valid_from": "2024-01-01", "source": "order"}
    credit = {"contract_id": "gift", "kind": "credit", "amount_usd": "0.05", **contract}
    capacity = {
        "contract_id": "ptu",
        "kind": "provisioned",
        "model": "gpt-4o",
        "amount_usd": "15.5",
        "units": 2,
        "per": "month",
        "tokens_per_minute": 500_000,
        "valid_to": "2024-02-01",
        **contract,
    }
    rate = {"currency": "CHF", "day": "2024-01-31", "rate": "0.5", "source": "SNB"}
    call = {"tenant_id": "charged", "provider": "openai", "tokens": {"prompt": 1_000_000, "completion": 0}}
    for kind, *records in (
        ("tenants", who),
        ("contracts", credit, capacity),
        ("exchange-rates", rate),
        ("spans", span("metered", **call), span("served", **call | {"model": "gpt-4o"})),
    ):
        assert loader.load(kind, ndjson(tmp_path / "a.ndjson", *records))["accepted"] == len(records)
    (row,) = loader.query(
        "SELECT direct_usd, provisioned_usd, unused_usd, total_usd, credit_usd, net_usd, exchange_rate_day, "
        "net_reporting FROM chargeback_monthly WHERE tenant_id = 'charged' AND month = '2024-01-01'"
    )
    direct, used = Decimal("0.15"), Decimal("0.000694444444")
    assert row[:3] == (direct, used, 31 - used)
    assert row[3:6] == (direct + 31, Decimal("-0.05"), Decimal("31.1"))
    assert row[6:] == (date(2024, 1, 31), Decimal("15.55"))


def test_scores_and_feedback_find_their_spans(loader: Loader, tmp_path: Path) -> None:
    loader.load("spans", ndjson(tmp_path / "s.ndjson", span("scored", prompt_template_version="rag-v1")))
    score = {"trace_id": "scored", "evaluator": "judge", "score": 0.5, "timestamp": TIME}
    thumb = {"trace_id": "scored", "value": 1, "timestamp": TIME, "user_id": "u"}
    assert loader.load("evaluations", ndjson(tmp_path / "e.ndjson", score))["accepted"] == 1
    assert loader.load("feedback", ndjson(tmp_path / "f.ndjson", thumb))["accepted"] == 1
    for table in ("llm_evaluations", "end_user_feedback"):
        rows = loader.query(
            f"SELECT tenant_id, model, prompt_template_version FROM {table} WHERE trace_id = 'scored'"
        )
        assert rows == [("loaded", "gpt-4o-mini", "rag-v1")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spans", "missing.csv"], "does not exist"),
        (["prices", "a.csv"], "prices"),
        (["evaluations", "a.csv", "--format", "azure"], "holds spans"),
        (["spans", "a.csv", "--format", "azure"], "not an Azure trace"),
        (["spans", "a.csv"], "did you mean `trace_id`"),
    ],
)
def test_wrong_use_says_what_would_be_right(
    loader: Loader, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "a.csv").write_text("traceid\nx\n")
    found = loader.run(arguments[0], str(tmp_path / arguments[1]), *arguments[2:])
    assert found.returncode != 0
    assert message in " ".join(found.stderr.replace("│", " ").split())


def test_without_a_writer_nothing_is_queued_and_the_way_out_is_named(valkey: Valkey, tmp_path: Path) -> None:
    url = valkey.url.rsplit("/", 1)[0] + "/8"
    with redis.Redis.from_url(url) as queue:
        queue.flushdb()
        loader = Loader(Settings(redis_url=url))
        path = ndjson(tmp_path / "a.ndjson", {"tenant_id": "t"})
        found = loader.run("tenants", path)
        assert (found.returncode, queue.dbsize()) == (1, 0)
        assert "no writer is running" in found.stderr
        assert "assay up" in found.stderr
        queue.hset(WRITER_STATUS, "at", time.time() - 100)
        assert "the writer stopped" in loader.run("tenants", path).stderr
        assert queue.dbsize() == 1


def test_an_unreachable_queue_is_named(tmp_path: Path) -> None:
    loader = Loader(Settings(redis_url="redis://127.0.0.1:1/0"))
    found = loader.run("tenants", ndjson(tmp_path / "a.ndjson", {"tenant_id": "t"}))
    assert found.returncode == 1
    assert "ASSAY_REDIS_URL" in found.stderr


def test_a_generated_past_is_loaded_once_and_has_baselines(loader: Loader, tmp_path: Path) -> None:
    settings = loader.settings.model_copy(update={"data_dir": tmp_path})
    first = load_past(settings, Progress(disable=True), days=2, volume=0.05)
    assert first.counts["tenants"] == 6
    assert first.counts["spans"] > 200
    assert first.counts["evaluations"] > 50
    assert first.baselines > 0
    # Each noon one task of every type.
    assert first.counts["task_times"] == 14
    sources = loader.query("SELECT DISTINCT source FROM llm_traces WHERE tenant_id IN ('acme', 'wonka')")
    assert sources == [("simulator",)]
    # Where the mark of a complete load is lost, the same days are made again, and count as duplicates.
    (tmp_path / "demo" / "loaded.json").unlink()
    again = load_past(settings, Progress(disable=True), days=2, volume=0.05)
    assert again.counts["spans"] < 20
    # With it, only the time since then is generated.
    assert load_past(settings, Progress(disable=True), days=2, volume=0.05).counts["spans"] < 20
    priced = loader.query(
        "SELECT sum(unpriced_count), sum(priced_count) > 0, sum(evaluation_count) > 0 FROM kpi_daily "
        "WHERE tenant_id = 'hooli'"
    )
    # The self-hosted model has no list price.
    assert priced[0][0] > 0
    assert priced[0][1:] == (True, True)
    normalized = loader.query(
        "SELECT countIf(priced_count > 0), countIf(isNotNull(normalized_cost_usd)), "
        "groupUniqArray(complexity_source) FROM normalized_cost_daily "
        "WHERE tenant_id IN ('acme', 'wonka', 'hooli')"
    )
    assert normalized[0][0] == normalized[0][1] > 0
    assert normalized[0][2] == ["human-time"]
