"""The worker between real stores: rows in, scores in the queue."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.collector import queue
from assay.contracts.records import Evaluation, Span
from assay.settings import Settings
from assay.warehouse.client import connect
from evaluators import candidates
from evaluators.worker import STATUS, ProviderUnavailableError, Worker
from tests.support.messages_api import MessagesApi, Reply, verdict
from tests.support.processes import free_port, python, running
from tests.support.stores import Valkey


@pytest.fixture
def queued(valkey: Valkey) -> Iterator[Valkey]:
    """A Redis of this test alone."""
    with valkey.client() as client:
        client.flushdb()
        yield valkey
        client.flushdb()


@pytest.fixture
def judging(migrated: Settings, queued: Valkey, provider: MessagesApi) -> Settings:
    """Settings of a worker with a judge; what arrives is judged once."""
    return configured(migrated, queued, anthropic_api_key="key", anthropic_base_url=provider.url)


def configured(settings: Settings, queued: Valkey, **changes: object) -> Settings:
    values: dict[str, Any] = {"redis_url": queued.url, "judge_repeat_share": 0.0, "anthropic_api_key": None}
    return Settings(**{**settings.model_dump(), **values, **changes})


def put_tenants(settings: Settings, **tiers: str) -> None:
    """Tenants of these tiers; ``tier/capture`` where the text of not all traces is kept."""
    rows = [(name, *(value if "/" in value else f"{value}/full").split("/")) for name, value in tiers.items()]
    with connect(settings) as client:
        client.insert("tenants", rows, column_names=["tenant_id", "tier", "capture"])


def put_spans(
    settings: Settings,
    tenant: str,
    traces: list[str],
    *,
    answer: str = "Within 30 days.",
    arrived: datetime | None = None,
    happened: datetime | None = None,
    captured: bool = True,
    **columns: object,
) -> None:
    arrived = arrived or datetime.now(UTC)
    at = happened or arrived
    span: dict[str, object] = {
        "tenant_id": tenant, "model": "m", "prompt_template_version": "t", "timestamp": at, "span_id": "s",
        "status": "ok", "billed": True, "completion_tokens": 10, "ingested_at": arrived,
        "retention_start": at.date(), **columns,
    }  # fmt: skip
    with connect(settings) as client:
        rows = [{**span, "trace_id": trace} for trace in traces]
        client.insert("llm_traces", [list(r.values()) for r in rows], column_names=list(rows[0]))
    if captured:
        put_texts(settings, tenant, traces, at, answer)


def put_texts(settings: Settings, tenant: str, traces: list[str], at: datetime, answer: str) -> None:
    with connect(settings) as client:
        client.insert(
            "llm_payloads",
            [
                (tenant, at, trace, "s", f"question {trace}", answer, ["a document"], 0, at.date())
                for trace in traces
            ],
            column_names=[
                *("tenant_id", "timestamp", "trace_id", "span_id", "input", "output", "context"),
                *("redactions", "retention_start"),
            ],
        )  # fmt: skip


def work(settings: Settings, steps: Callable[[Worker], Awaitable[None]] = Worker.tick) -> dict[str, str]:
    """Run steps of a new worker; return its heartbeat."""

    async def run() -> dict[str, str]:
        async with redis.asyncio.Redis.from_url(settings.redis) as client:
            worker = Worker(settings, client)
            try:
                await steps(worker)
            finally:
                await worker.beat()
                await worker.close()
            found = await client.hgetall(STATUS)
            return {name.decode(): value.decode() for name, value in found.items()}

    return asyncio.run(run())


def published(queued: Valkey, kind: type = Evaluation) -> list[Any]:
    with queued.client() as client:
        envelopes = [queue.decode(entry) for _, entry in client.xrange(queue.STREAM)]
    assert {envelope.source for envelope in envelopes} <= {"judge"}
    return [record for envelope in envelopes for record in envelope.decode() if isinstance(record, kind)]


def test_judges_a_stratified_sample_and_writes_its_rate(judging: Settings, queued: Valkey) -> None:
    put_tenants(judging, top="high_value", normal="standard", bulk="batch")
    put_tenants(judging, partly="high_value/sampled", silent="high_value/none")
    traces = [f"t{n}" for n in range(60)]
    for tenant in ("top", "normal", "bulk", "partly", "silent", "stranger"):
        put_spans(judging, tenant, [f"{tenant}-{trace}" for trace in traces])

    status = work(judging)

    scores = published(queued)
    rates = {tenant: {s.sampling_rate for s in scores if s.trace_id.startswith(f"{tenant}-")} for tenant in
             ("top", "normal", "bulk", "partly", "silent", "stranger")}  # fmt: skip
    assert rates["top"] == {1.0}
    assert rates["normal"] == {0.1}
    assert rates["bulk"] <= {0.01}
    # Where text is kept of a tenth of the traces, a tenth is the chance of being judged.
    assert rates["partly"] == {0.1}
    assert rates["silent"] == rates["stranger"] == set(), "text that may not be kept is not judged"
    assert sum(s.trace_id.startswith("top-") for s in scores) == 60
    assert {(s.evaluator, s.evaluator_version, s.score, s.verdict, s.confidence) for s in scores} == {
        ("llm-as-judge", "v1", 0.9, "good", None)
    }
    assert status["judged"] == str(len(scores))
    assert status["mode"] == "judge"


def test_the_judges_own_calls_are_spans_of_assay(judging: Settings, queued: Valkey) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", ["a"])

    status = work(judging)

    (span,) = published(queued, Span)
    assert (span.tenant_id, span.task_type, span.model) == ("assay", "judge", "claude-haiku-4-5")
    assert (span.tokens.prompt, span.tokens.completion) == (1000, 50)
    assert span.prompt_template_version == "llm-as-judge@v1"
    assert span.attributes == {"judged.tenant_id": "top", "judged.trace_id": "a"}
    # 1,000 tokens at 1 USD and 50 at 5 USD a million.
    assert Decimal(status["spend_usd"]) == Decimal("0.00125")


def test_only_finished_live_calls_of_others_are_judged(judging: Settings, queued: Valkey) -> None:
    put_tenants(judging, top="high_value", assay="high_value")
    put_spans(judging, "top", ["good"])
    put_spans(judging, "assay", ["own"])
    put_spans(judging, "top", ["failed"], status="error")
    put_spans(judging, "top", ["parent"], billed=False)
    put_spans(judging, "top", ["history"], happened=datetime.now(UTC) - timedelta(days=3))
    put_spans(judging, "top", ["experiment"], experiment_id="e1")
    put_spans(judging, "top", ["silent"], captured=False)
    put_spans(judging, "top", ["tools"], answer="")

    work(judging)

    assert {s.trace_id: s.verdict for s in published(queued)} == {
        "good": "good",
        "experiment": "good",
        "tools": "no_text",
    }


def test_nothing_is_judged_twice_and_late_parts_are_found(judging: Settings, queued: Valkey) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", ["first"])

    async def steps(worker: Worker) -> None:
        await worker.tick()
        await worker.tick()
        # Rows whose insert took longer, and a text that was stored after its span.
        now = datetime.now(UTC)
        put_spans(judging, "top", ["late"], arrived=now - timedelta(seconds=10))
        put_spans(judging, "top", ["textless"], arrived=now, captured=False)
        await worker.tick()
        put_texts(judging, "top", ["textless"], now, "Here it is.")
        await worker.tick()

    work(judging, steps)
    work(judging)

    assert [s.trace_id for s in published(queued)] == ["first", "late", "textless"]


def test_a_lost_watermark_is_recomputed_from_the_store(judging: Settings, queued: Valkey) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", ["scored", "new"])
    with connect(judging) as client:
        client.insert(
            "llm_evaluations",
            [("top", datetime.now(UTC), datetime.now(UTC), "scored", "s", "llm-as-judge", "v1", 0.4, 1.0)],
            column_names=[
                *("tenant_id", "span_timestamp", "timestamp", "trace_id", "span_id"),
                *("evaluator", "evaluator_version", "score", "sampling_rate"),
            ],
        )

    work(judging)

    assert [s.trace_id for s in published(queued)] == ["new"]


def test_several_pages_are_read(judging: Settings, queued: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "PAGE", 7)
    monkeypatch.setitem(candidates.page.__kwdefaults__, "limit", 7)
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", [f"t{n}" for n in range(30)])
    put_spans(judging, "top", [f"silent{n}" for n in range(30)], captured=False)

    work(judging)

    assert sorted(s.trace_id for s in published(queued)) == sorted(f"t{n}" for n in range(30))


def test_an_override_judges_everything_of_a_cohort(judging: Settings, queued: Valkey) -> None:
    put_tenants(judging, bulk="batch")
    with connect(judging) as client:
        client.insert(
            "overrides",
            [("o1", "bulk", "m", "", "sampling_rate", "1", None, "runbook")],
            column_names=[
                *("override_id", "tenant_id", "model", "prompt_template_version"),
                *("what", "value", "until", "set_by"),
            ],
        )
    put_spans(judging, "bulk", [f"t{n}" for n in range(20)])
    put_spans(judging, "bulk", [f"other{n}" for n in range(20)], model="n")

    work(judging)

    scores = [s for s in published(queued) if s.trace_id.startswith("t")]
    assert len(scores) == 20
    assert {s.sampling_rate for s in scores} == {1.0}
    assert {s.sampling_rate for s in published(queued)} <= {1.0, 0.01}


def test_repeated_judgements_give_the_confidence(
    judging: Settings, queued: Valkey, provider: MessagesApi
) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", ["a"])
    provider.answer_with(verdict(0.9), verdict(0.5, "partial"), verdict(0.7, "partial"))

    work(Settings(**{**judging.model_dump(), "judge_repeat_share": 1.0}))

    (score,) = published(queued)
    assert score.score == pytest.approx(0.7)
    assert score.confidence == pytest.approx(1 - 2 * 0.1632993)
    assert score.verdict == "partial"
    assert len(published(queued, Span)) == 3


def test_an_outage_of_the_provider_loses_nothing(
    judging: Settings, queued: Valkey, provider: MessagesApi
) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", [f"t{n}" for n in range(20)])
    provider.answer_with(*[verdict(0.9)] * 5, Reply(status=401))

    async def steps(worker: Worker) -> None:
        with pytest.raises(ProviderUnavailableError, match="AuthenticationError"):
            await worker.tick()
        put_spans(judging, "top", ["meanwhile"])
        provider.answer_with(verdict(0.8))
        await worker.tick()

    work(judging, steps)

    assert sorted(s.trace_id for s in published(queued)) == sorted(
        [*(f"t{n}" for n in range(20)), "meanwhile"]
    )
    assert len(provider.requests) < 40, "after the first sign of an outage no more calls are started"


def test_a_request_that_the_provider_refuses_blocks_no_other(
    judging: Settings, queued: Valkey, provider: MessagesApi
) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", ["a-bad"])
    provider.script = lambda body: (
        Reply(status=413) if "question a-bad" in body["messages"][0]["content"] else verdict(0.9)
    )

    async def steps(worker: Worker) -> None:
        # Nothing was answered yet: it may be the account's fault as well, and is tried again.
        with pytest.raises(ProviderUnavailableError, match="ContentTooLargeError"):
            await worker.tick()
        assert published(queued) == []
        put_spans(judging, "top", ["b", "c"])
        await worker.tick()

    work(Settings(**{**judging.model_dump(), "judge_concurrency": 1}), steps)

    assert {s.trace_id: (s.score, s.verdict) for s in published(queued)} == {
        "a-bad": (None, "rejected_by_provider"),
        "b": (0.9, "good"),
        "c": (0.9, "good"),
    }


def test_the_daily_limit_stops_the_judge(judging: Settings, queued: Valkey, provider: MessagesApi) -> None:
    put_tenants(judging, top="high_value")
    put_spans(judging, "top", [f"t{n}" for n in range(20)])

    # A call costs 0.00125 USD: the second one reaches the limit.
    limited = Settings(
        **{**judging.model_dump(), "judge_daily_usd": Decimal("0.002"), "judge_concurrency": 1}
    )
    status = work(limited)

    assert len(provider.requests) == 2
    assert (status["judged"], status["skipped"]) == ("2", "18")
    assert "daily limit of 0.002 USD" in status["last_error"]
    work(limited)
    assert len(provider.requests) == 2, "a new worker keeps to the same day's count"


def test_a_limit_needs_a_price(judging: Settings, queued: Valkey, provider: MessagesApi) -> None:
    unpriced = Settings(**{**judging.model_dump(), "judge_model": "nobody-knows-1"})

    status = work(unpriced)

    assert status["mode"] == "heuristics"
    assert "ASSAY_JUDGE_MODEL" in status["last_error"]
    assert work(Settings(**{**unpriced.model_dump(), "judge_daily_usd": "none"}))["mode"] == "judge"


def test_without_a_key_the_heuristics_work_alone(migrated: Settings, queued: Valkey) -> None:
    settings = configured(migrated, queued)
    put_tenants(settings, bulk="batch")
    put_spans(settings, "bulk", ["fine"])
    put_spans(settings, "bulk", ["cut"], finish_reason="max_tokens")
    put_spans(settings, "bulk", ["refused"], answer="I'm sorry, but I can't help with that.")

    status = work(settings)
    work(settings)

    assert {s.trace_id: (s.evaluator, s.score, s.verdict, s.sampling_rate) for s in published(queued)} == {
        "fine": ("heuristics", 1.0, "no_finding", 1.0),
        "cut": ("heuristics", 0.5, "truncated", 1.0),
        "refused": ("heuristics", 0.5, "refusal", 1.0),
    }
    assert len(published(queued)) == 3
    assert status["mode"] == "heuristics"


def test_both_evaluators_keep_their_own_watermark(
    judging: Settings, queued: Valkey, provider: MessagesApi
) -> None:
    both = Settings(**{**judging.model_dump(), "heuristics_beside_judge": True})
    put_tenants(both, top="high_value")
    put_spans(both, "top", ["a"])
    provider.answer_with(Reply(status=401))

    async def steps(worker: Worker) -> None:
        with pytest.raises(ProviderUnavailableError):
            await worker.tick()
        assert [s.evaluator for s in published(queued)] == ["heuristics"]
        provider.answer_with(verdict(0.9))
        await worker.tick()

    work(both, steps)

    assert sorted(s.evaluator for s in published(queued)) == ["heuristics", "llm-as-judge"]


def test_an_outage_of_the_store_is_an_error_of_the_tick(judging: Settings) -> None:
    with pytest.raises(ClickHouseError):
        work(Settings(**{**judging.model_dump(), "clickhouse_url": f"http://127.0.0.1:{free_port()}"}))


def test_the_service_beats_while_its_store_is_down_and_stops_on_sigterm(
    queued: Valkey, tmp_path: Path
) -> None:
    def status() -> dict[bytes, bytes]:
        with queued.client() as client:
            return client.hgetall(STATUS)  # type: ignore[return-value]

    environment = {
        "ASSAY_REDIS_URL": queued.url,
        "ASSAY_CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "ANTHROPIC_API_KEY": "",
        "ASSAY_ANTHROPIC_API_KEY": "",
    }
    with running(
        python("evaluators.worker"),
        ready=lambda: bool(status().get(b"outage")),
        log=tmp_path / "log.txt",
        env=environment,
    ) as service:
        with queued.client() as client:
            assert abs(client.time()[0] - float(status()[b"at"])) < 60
        assert b"OperationalError" in status()[b"outage"]
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
