from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from assay.collector import erasure
from assay.collector.envelope import Reject
from assay.collector.queue import STREAM, decode
from assay.collector.writer import keys
from assay.contracts.records import Evaluation, Feedback, Label, Outcome, Tokens
from assay.settings import load_settings
from assay.warehouse import api_keys, occurrences
from assay.warehouse.client import connect
from assay.warehouse.erasure import Erasure, digest
from tests.support.databases import Databases
from tests.support.processes import wait_for
from tests.support.rows import insert
from tests.support.stores import ClickHouse, Valkey
from tests.support.writing import COST, NOW, Bench, span

GONE, STAYS = "org_gone", "org_stays"


@contextmanager
def bench_on(databases: Databases, valkey: Valkey, number: int) -> Iterator[Bench]:
    """A built database, and an empty Valkey database of this number."""
    url = f"{valkey.url.rsplit('/', 1)[0]}/{number}"
    with (
        databases.lend(redis_url=url) as settings,
        redis.Redis.from_url(url) as queue,
        connect(settings) as store,
    ):
        queue.flushdb()
        yield Bench(settings, queue, store)
        queue.flushdb()


@pytest.fixture
def bench(built_databases: Databases, valkey: Valkey) -> Iterator[Bench]:
    with bench_on(built_databases, valkey, 11) as found:
        yield found


@dataclass(frozen=True)
class Erased:
    """A tenant that had been everywhere, after its erasure.

    Attributes:
        before, after: tables, views and keys in which its id stood, and in which it still stands.
        found: rows by place, as the report has them.
    """

    bench: Bench
    before: set[str]
    report: erasure.Report
    after: set[str]

    @property
    def found(self) -> dict[str, int]:
        return {place.name: place.found for place in self.report.places}


@pytest.fixture(scope="module")
def erased(built_databases: Databases, valkey: Valkey) -> Iterator[Erased]:
    """For the tests that only look at what one erasure did."""
    with bench_on(built_databases, valkey, 12) as bench:
        traffic(bench)
        beside(bench)
        before = set(everywhere(bench, GONE, views=True))
        report = erase(bench)
        yield Erased(bench, before, report, set(everywhere(bench, GONE, views=True)))


def erase(bench: Bench, tenant: str = GONE, **options: Any) -> erasure.Report:
    return erasure.erase_tenant(bench.settings, tenant, by="dpo", reason="request 7", **options)


def traffic(bench: Bench) -> None:
    """Calls of two tenants over three days, with everything that is known of a trace."""
    tokens = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000)
    for tenant in (GONE, STAYS):
        calls = [
            span(
                i,
                tenant_id=tenant,
                trace_id=f"{tenant[4]}{i}",
                user_id=f"user-{tenant[4]}",
                timestamp=NOW - timedelta(days=i % 3, seconds=i),
                tokens=tokens,
                input="question",
                output="answer",
            )
            for i in range(6)
        ]
        trace, at = calls[0].trace_id, calls[0].timestamp
        bench.send("span", *calls)
        bench.send(
            "evaluation",
            Evaluation(
                trace_id=trace,
                span_id=calls[0].span_id,
                evaluator="judge",
                evaluator_version="1",
                score=0.9,
                confidence=1.0,
                timestamp=at,
            ),
        )
        bench.send("feedback", Feedback(trace_id=trace, user_id="u", value=1, timestamp=at))
        bench.send("label", Label(trace_id=trace, rater="r", score=0.5, timestamp=at))
        bench.send(
            "outcome",
            Outcome(trace_id=trace, event="conversion", value=Decimal(9), timestamp=at),
            Outcome(user_id=f"user-{tenant[4]}", event="retained", timestamp=at),
            # Ids that both tenants have.
            Outcome(tenant_id=tenant, trace_id="both", event="conversion", timestamp=at),
            Outcome(tenant_id=tenant, user_id="both", event="retained", timestamp=at),
        )
    judged = {"judged.tenant_id": GONE, "judged.trace_id": "g0"}
    bench.send("span", span(99, tenant_id="assay", trace_id="judge-1", attributes=judged))
    bench.drain()


def beside(bench: Bench) -> None:
    """What people, rules and budgets left about the tenants."""
    for tenant in (GONE, STAYS):
        insert(bench.store, "tenants", {"tenant_id": tenant, "name": tenant.upper(), "capture": "full"})
        insert(
            bench.store,
            "budget_ledger",
            {"tenant_id": tenant, "session_id": "s", "lease_id": "l", "event": "settled"},
        )
        insert(
            bench.store,
            "llm_embeddings",
            {"tenant_id": tenant, "trace_id": "x", "embedding": [0.5], "timestamp": NOW},
        )
    everybody = {"event": "opened", "occurred_at": NOW, "level": "page"}
    insert(
        bench.store,
        "alerts",
        {"alert_id": "1", "tenant_id": GONE, "evidence": "{}", **everybody},
        {"alert_id": "2", "tenant_id": "", "evidence": json.dumps({"top": [GONE, STAYS]}), **everybody},
    )
    insert(bench.store, "deployments", {"timestamp": NOW, "tenant_id": "", "description": f"for {GONE}."})
    insert(
        bench.store,
        "ingest_rejects",
        {"received_at": NOW, "kind": "span", "payload": json.dumps({"tenant_id": GONE})},
        {"received_at": NOW, "kind": "span", "payload": json.dumps({"tenant_id": STAYS})},
    )
    for tenants in ([GONE], [GONE, STAYS], [STAYS]):
        api_keys.create(bench.store, name="gateway", tenants=tenants, scopes=["write"])


def tables(bench: Bench, views: bool) -> list[str]:
    """Tables with rows, and views."""
    return [
        name
        for (name,) in bench.rows(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND "
            f"if(engine = 'View', {views}, engine != 'MaterializedView' AND ifNull(total_rows, 1) > 0)"
        )
    ]


def everywhere(bench: Bench, text: str, *, views: bool = False) -> list[str]:
    """Tables and keys in which a text stands, told from their whole contents; and views, which have what
    they show from tables, where a test is about them.
    """
    found = []
    for table in tables(bench, views):
        if text.encode() in bench.store.raw_query(f"SELECT * FROM `{table}`", fmt="TSVRaw"):
            found.append(table)
    for key in bench.queue.scan_iter():
        dumped = bench.queue.dump(key) or b""
        if text.encode() in key or (text.encode() in dumped):
            found.append(key.decode())
    return found


def figures(bench: Bench, source: str, tenant: str) -> tuple[Any, ...]:
    count, sign = ("sum(sign)", "sign * ") if source == "llm_traces" else ("sum(request_count)", "")
    return bench.one(
        f"SELECT {count}, sum({sign}cost_usd), sum({sign}prompt_tokens) FROM {source} "
        f"WHERE tenant_id = '{tenant}'"
    )


def test_a_tenant_is_gone_from_everywhere(erased: Erased, clickhouse: ClickHouse) -> None:
    assert erased.before > {"llm_traces", "llm_kpi_1min", "llm_kpi_1d", "kpi_hourly", "api_keys"}
    assert erased.report.complete
    assert erased.after == set()
    assert erasure.find(erased.bench.settings, GONE).places == {}
    assert erased.found["llm_traces.tenant_id"] == 6
    assert erased.found["llm_payloads.tenant_id"] == 6
    assert erased.found["ingest_rejects.payload"] == 1
    assert erased.report.elsewhere == {}
    # What the store keeps of the statements beside the data does not tell either.
    kept = [file.read_text() for file in clickhouse.data_dir.rglob("mutation_*.txt")]
    assert not any(GONE in text for text in kept)


def test_other_tenants_keep_what_is_theirs(erased: Erased) -> None:
    bench = erased.bench
    for source in ("llm_traces", "llm_kpi_1min", "llm_kpi_1h", "llm_kpi_1d"):
        assert figures(bench, source, STAYS) == (6, 6 * COST, 60_000), source
        assert figures(bench, source, "assay") == (1, COST, 10_000), source
        assert figures(bench, source, GONE)[0] == 0, source
    for table in ("llm_payloads", "llm_evaluations", "end_user_feedback", "tenants", "llm_embeddings"):
        assert {t for (t,) in bench.rows(f"SELECT tenant_id FROM {table}")} == {STAYS}, table
    assert bench.rows("SELECT tenant_id, trace_id, user_id FROM business_outcomes ORDER BY 1, 2, 3") == [
        ("", "", "user-s"),
        ("", "s0", ""),
        (STAYS, "", "both"),
        (STAYS, "both", ""),
    ]
    assert bench.rows("SELECT trace_id FROM human_labels") == [("s0",)]
    # Where a text of nobody's names it, the name goes and the text stays.
    assert bench.rows("SELECT alert_id, evidence FROM alerts") == [
        ("2", '{"top": ["[erased]", "org_stays"]}')
    ]
    assert bench.rows("SELECT description FROM deployments") == [("for [erased].",)]
    assert bench.one("SELECT count() FROM ingest_rejects") == (1,)
    assert bench.one("SELECT attributes FROM llm_traces WHERE tenant_id = 'assay'") == ({},)
    assert sorted(sorted(key.tenants or ()) for key in api_keys.read_all(bench.store)) == [[STAYS], [STAYS]]


def test_it_is_on_record_without_the_id(erased: Erased) -> None:
    bench, report = erased.bench, erased.report
    rows = bench.rows(
        "SELECT erasure_id, event, actor, reason, tenant_sha256 FROM erasures ORDER BY occurred_at"
    )
    sha = digest(GONE)
    assert rows == [(report.erasure_id, event, "dpo", "request 7", sha) for event in ("begun", "finished")]
    detail = json.loads(bench.one("SELECT detail FROM erasures WHERE event = 'finished'")[0])
    assert detail["llm_traces.tenant_id"] == {"found": 6, "left": 0}
    # The corrections are on record, too.
    assert bench.one("SELECT sum(rows) FROM corrections WHERE event = 'staged'") == (6 + 1 + 1,)


@pytest.mark.parametrize("option", ["by", "reason"])
def test_a_record_that_would_name_the_tenant_is_refused(bench: Bench, option: str) -> None:
    given = {"by": "dpo", "reason": "request", option: f"on behalf of {GONE}."}
    with pytest.raises(erasure.NamesTenantError, match=f"--{option} names the tenant"):
        erasure.erase_tenant(bench.settings, GONE, **given)
    assert bench.one("SELECT count() FROM erasures") == (0,)


def test_what_a_repeated_sender_sends_is_not_stored_again(bench: Bench) -> None:
    calls = [span(i, tenant_id=GONE) for i in range(3)]
    bench.send("span", *calls)
    bench.drain()
    assert erase(bench).complete
    bench.send("span", *calls)
    bench.drain()
    assert everywhere(bench, GONE) == []


def test_rollups_whose_raw_rows_have_expired(bench: Bench) -> None:
    traffic(bench)
    bench.store.command("TRUNCATE TABLE llm_traces")
    assert figures(bench, "llm_kpi_1d", GONE)[0] == 6
    assert erase(bench).complete
    assert everywhere(bench, GONE) == []
    assert figures(bench, "llm_kpi_1d", STAYS) == (6, 6 * COST, 60_000)


def test_what_is_queued_and_parked(bench: Bench) -> None:
    traffic(bench)
    waits = {
        "evaluator": "judge",
        "evaluator_version": "1",
        "score": 0.5,
        "confidence": 1.0,
        "timestamp": NOW,
    }
    bench.send("evaluation", Evaluation(trace_id="g0", span_id="later", **waits))
    bench.send("evaluation", Evaluation(trace_id="s0", span_id="later", **waits))
    bench.send("evaluation", Evaluation(trace_id="new", span_id="later", **waits), tenants=[GONE])
    bench.drain()
    assert bench.queue.hlen(keys.PARKED) == 3
    rejected = Reject(
        index=2, field="model", reason="missing", payload=json.dumps({"tenant_id": GONE}).encode()
    )
    bench.send(
        "span",
        span(50, tenant_id=GONE),
        span(51, tenant_id=STAYS),
        span(52, tenant_id="assay", attributes={"judged.tenant_id": GONE, "why": "sample"}),
        rejects=[rejected],
    )
    bench.send("span", span(53, tenant_id=GONE))
    bench.queue.hset("assay:budget:state", f"{GONE}:today", 5)
    bench.queue.set(f"assay:budget:{GONE}", 5)
    report = erase(bench)
    assert report.complete
    found = {place.name: place.found for place in report.places}
    assert found[STREAM] == 1 + 1 + 1 + 1
    assert found[keys.PARKED] == 2
    assert found[f"assay:budget:{GONE}"] == found["assay:budget:state"] == 1
    assert everywhere(bench, GONE) == []
    folder = Path(bench.queue.config_get("dir")["dir"]) / "appendonlydir"
    wait_for(
        lambda: GONE.encode() not in b"".join(file.read_bytes() for file in folder.iterdir()),
        "an append-only file without it",
    )
    assert bench.queue.hlen(keys.PARKED) == bench.queue.zcard(keys.PARKED_DUE) == 1
    bench.drain()
    assert everywhere(bench, GONE) == []
    assert figures(bench, "llm_kpi_1d", STAYS)[0] == 7
    assert bench.one("SELECT attributes FROM llm_traces FINAL WHERE trace_id = 't52'") == ({"why": "sample"},)


def test_a_long_queue_is_written_again_in_order(bench: Bench) -> None:
    for i in range(1_300):
        bench.send("span", span(i, tenant_id=GONE if i % 3 == 0 else STAYS, trace_id=f"q{i}"))
    assert erase(bench).complete
    assert everywhere(bench, GONE) == []
    left = [decode(fields).decode()[0] for _, fields in bench.queue.xrange(STREAM)]  # type: ignore[misc, arg-type]
    assert [record.trace_id for record in left] == [f"q{i}" for i in range(1_300) if i % 3]  # type: ignore[attr-defined]


def test_while_a_writer_stores_for_others(bench: Bench) -> None:
    traffic(bench)
    bench.send("span", *(span(i, tenant_id=GONE, trace_id=f"queued{i}") for i in range(50)))
    done = threading.Event()

    def send() -> None:
        number = 100
        while not done.wait(0.01):
            bench.send("span", span(number, tenant_id=STAYS))
            number += 1

    sender = threading.Thread(target=send)
    with bench.running():
        sender.start()
        try:
            report = erase(bench)
        finally:
            done.set()
            sender.join()
        bench.wait_empty()
    assert report.complete
    assert everywhere(bench, GONE) == []
    raw = figures(bench, "llm_traces", STAYS)
    assert raw[0] > 6
    for rollup in ("llm_kpi_1min", "llm_kpi_1h", "llm_kpi_1d"):
        assert figures(bench, rollup, STAYS) == raw, rollup


def test_interrupted_and_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic(bench)
    beside(bench)
    with monkeypatch.context() as patch:

        def die(_: Erasure) -> None:
            raise ConnectionError("the process is gone")

        patch.setattr(Erasure, "remove", die)
        with pytest.raises(ConnectionError):
            erase(bench)
    assert figures(bench, "llm_kpi_1d", GONE)[0] == 0, "the calls are out of the sums already"
    assert erase(bench).complete
    assert everywhere(bench, GONE) == []
    # Records that carry no tenant went by the traces that the first attempt had collected.
    assert bench.rows("SELECT trace_id FROM human_labels") == [("s0",)]
    assert figures(bench, "llm_kpi_1d", STAYS) == (6, 6 * COST, 60_000)


def test_traces_that_others_have_too_are_not_collected(bench: Bench) -> None:
    """Also not if they are somebody else's only since an attempt that died."""

    def collected() -> list[tuple[Any, ...]]:
        Erasure(bench.store, GONE, erasure_id="e", reason="", actor="").remember()
        return bench.rows(f"SELECT kind, value FROM erasure_{digest(GONE)[:16]} FINAL ORDER BY ALL")

    def store(table: str, tenant: str, trace: str, **more: str) -> None:
        insert(bench.store, table, {"tenant_id": tenant, "trace_id": trace, "timestamp": NOW, **more})

    store("llm_traces", GONE, "own", user_id="anna")
    store("llm_traces", GONE, "shared")
    store("llm_payloads", STAYS, "shared")
    assert collected() == [("trace_id", "own"), ("user_id", "anna")]
    store("llm_payloads", STAYS, "own")
    assert collected() == [("user_id", "anna")]


def cli(bench: Bench, monkeypatch: pytest.MonkeyPatch, *arguments: str, typed: str = "") -> Any:
    from assay.cli.main import app

    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", bench.settings.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", bench.settings.clickhouse_database)
    monkeypatch.setenv("ASSAY_REDIS_URL", bench.settings.redis)
    load_settings.cache_clear()
    try:
        return CliRunner().invoke(
            app, ["erase-tenant", GONE, "--by", "dpo", "--reason", "request", *arguments], input=typed
        )
    finally:
        load_settings.cache_clear()


def test_what_is_left_is_named_and_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A table of an engine that cannot delete."""
    traffic(bench)
    bench.store.command("CREATE TABLE notes (tenant_id String) ENGINE = Memory")
    bench.store.command(f"INSERT INTO notes VALUES ('{GONE}')")
    done = cli(bench, monkeypatch, "--yes", "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert not report["complete"]
    assert {name for name, count in report["places"].items() if count["left"]} == {"notes.tenant_id"}
    assert "Something is left" in done.stderr
    assert bench.one("SELECT count() FROM erasures WHERE event = 'incomplete'") == (1,)


def test_it_asks_for_the_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic(bench)
    refused = cli(bench, monkeypatch, typed="org_other\n")
    assert refused.exit_code == 1
    assert "nothing was erased" in refused.stderr
    assert figures(bench, "llm_traces", GONE)[0] == 6
    done = cli(bench, monkeypatch, typed=f"{GONE}\n")
    assert done.exit_code == 0, done.output
    assert everywhere(bench, GONE) == []
    again = cli(bench, monkeypatch, "--yes")
    assert again.exit_code == 0
    assert f"Nothing of {GONE} is stored." in again.stdout


def test_the_same_word_in_records_of_others_stays_and_is_told(bench: Bench) -> None:
    bench.send("span", span(1, tenant_id="prod"), span(2, tenant_id=STAYS, environment="prod"))
    bench.drain()
    report = erase(bench, "prod")
    assert report.complete
    assert report.elsewhere == {"llm_traces.environment": 1}
    assert bench.one("SELECT environment FROM llm_traces") == ("prod",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("acme", True),
        ("for acme.", True),
        ('{"tenant_id":"acme"}', True),
        ("https://x/acme/y", True),
        ("budget:acme:today", True),
        ("acme-test", False),
        ("acme.eu", False),
        ("my_acme", False),
        ("acmeology", False),
        ("ACME", False),
    ],
)
def test_a_word_of_its_own(bench: Bench, text: str, named: bool) -> None:
    assert (re.search(occurrences.word("acme"), text) is not None) is named
    condition = occurrences.named("x", "String", "acme")
    found = bench.store.query(
        f"SELECT {condition} FROM (SELECT {{text:String}} AS x)",
        parameters={"text": text, **occurrences.parameters("acme")},
    ).result_rows
    assert found == [(int(named),)]


@given(st.text(alphabet='ab.é"\\-$(', min_size=1, max_size=6), st.sampled_from(["", " ", '"', "/"]))
def test_any_id_is_found_between_delimiters(tenant: str, around: str) -> None:
    assert re.search(occurrences.word(tenant), f"{around}{tenant}{around}")
