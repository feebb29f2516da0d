"""Which spans are there to be evaluated, read from the store in one query with their texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from clickhouse_connect.driver.client import Client

from assay.contracts.records import TenantTier
from evaluators import sampling
from evaluators.versions import OWN_TENANT

# Rows become visible after the moment that their `ingested_at` says, and not in its order: by the time an
# insert takes, by a retry of it, and by the difference of two servers' clocks. So much is read again, and
# what was done already is left out.
OVERLAP: Final = timedelta(seconds=30)
# Texts of a page are held in memory: 200 prompts of a million characters are 200 MB.
PAGE: Final = 200


@dataclass(frozen=True)
class Candidate:
    """A span in the sample, with what was captured of it.

    Attributes:
        ingested_at_ms: Unix milliseconds on the store's clock; what the watermark moves over.
        rate: the chance with which it came into the sample.
        repeated: whether it is in the share that is judged several times.
        captured: whether there is text; without it there is nothing to judge.
    """

    ingested_at_ms: int
    trace_id: str
    span_id: str
    tenant_id: str
    prompt_template_version: str
    task_type: str
    finish_reason: str
    completion_tokens: int
    rate: float
    repeated: bool
    captured: bool
    question: str
    answer: str
    documents: list[str]

    @property
    def key(self) -> str:
        """Its identity."""
        return f"{self.tenant_id}\0{self.trace_id}\0{self.span_id}"


@dataclass(frozen=True)
class Selection:
    """What one evaluator is to see.

    Attributes:
        evaluator, version: whose scores are looked up, so that nothing is scored twice.
        rates: sampling rate per tier. overrides: whether rates set by hand for a cohort go before them.
        capture_rate: share of traces kept under the capture policy ``sampled``.
        repeat_share: share of the sample that is judged several times.
        max_age: how old a span may have been when it arrived.
    """

    evaluator: str
    version: str
    rates: Mapping[TenantTier, float]
    overrides: bool
    capture_rate: float
    repeat_share: float
    max_age: timedelta


# Corrections do not come here: they are later, or about spans that were judged already. A parent that repeats
# its children is not billed, and would be judged twice.
_NEW: Final = f"""
    ingested_at > fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
        AND timestamp >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') - {{max_age:Int64}}
        AND timestamp >= ingested_at - {{max_age:Int64}}
        AND sign > 0 AND billed AND status = 'ok' AND tenant_id != '{OWN_TENANT}'
"""


def look(client: Client, selection: Selection, since_ms: int) -> tuple[int, int]:
    """The store's clock and how many spans may have arrived since: all that an idle worker asks.

    Returns:
        Unix milliseconds, and spans ingested later than ``since_ms``.
    """
    now_ms, arrived = client.query(
        f"SELECT toUnixTimestamp64Milli(now64(3, 'UTC')), (SELECT count() FROM llm_traces WHERE {_NEW})",
        parameters=_parameters(selection, since_ms),
    ).result_rows[0]
    return int(now_ms), int(arrived)


def page(
    client: Client, selection: Selection, since_ms: int, after: tuple[int, str, str], *, limit: int = PAGE
) -> list[Candidate]:
    """The sampled spans ingested later than ``since_ms`` and behind ``after``, in the order of arrival.

    Args:
        client: of the store.
        selection: whose sample.
        since_ms: Unix milliseconds.
        after: (ingested_at_ms, trace_id, span_id) of the last one of the page before.
        limit: most that are read.
    """
    rows = client.query(
        _page_sql(selection),
        parameters={
            **_parameters(selection, since_ms),
            "after_ms": after[0],
            "after_trace": after[1],
            "after_span": after[2],
            "evaluator": selection.evaluator,
            "version": selection.version,
            "capture_rate": selection.capture_rate,
            "repeat_share": selection.repeat_share,
            "limit": limit,
        },
    ).result_rows
    return [Candidate(*row) for row in rows]


def _parameters(selection: Selection, since_ms: int) -> dict[str, object]:
    return {"since": since_ms, "max_age": int(selection.max_age.total_seconds())}


def _page_sql(selection: Selection) -> str:
    rate = sampling.tier_rate("tenants.tier", selection.rates)
    if selection.overrides:
        rate = sampling.overridden(rate)
    return f"""
    WITH
        ({sampling.OVERRIDES}) AS rules,
        sampled AS (
            SELECT
                tenant_id, trace_id, span_id, timestamp, toUnixTimestamp64Milli(ingested_at) AS arrived,
                prompt_template_version, task_type, finish_reason, completion_tokens,
                {sampling.within_capture(rate, "tenants.capture", "{capture_rate:Float64}")} AS rate
            FROM llm_traces
            INNER JOIN (SELECT tenant_id, tier, capture FROM tenants FINAL WHERE capture != 'none') AS tenants
                USING (tenant_id)
            WHERE {_NEW}
                AND (arrived, trace_id, span_id)
                    > ({{after_ms:Int64}}, {{after_trace:String}}, {{after_span:String}})
                AND {sampling.sampled("rate")}
                -- An evaluation is made after its span has arrived; one minute for two servers' clocks.
                AND (tenant_id, trace_id, span_id) NOT IN (
                    SELECT tenant_id, trace_id, span_id FROM llm_evaluations
                    WHERE evaluator = {{evaluator:String}} AND evaluator_version = {{version:String}}
                        AND timestamp >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') - 60
                )
            ORDER BY arrived, trace_id, span_id
            LIMIT 1 BY tenant_id, trace_id, span_id
            LIMIT {{limit:UInt32}}
        ),
        texts AS (
            SELECT tenant_id, trace_id, span_id, any(input) AS question, any(output) AS answer, any(context)
            AS documents FROM llm_payloads
            WHERE (tenant_id, timestamp, trace_id) IN (SELECT tenant_id, timestamp, trace_id FROM sampled)
            GROUP BY tenant_id, trace_id, span_id
        )
    SELECT
        sampled.arrived, sampled.trace_id, sampled.span_id, sampled.tenant_id,
        sampled.prompt_template_version, sampled.task_type, sampled.finish_reason, sampled.completion_tokens,
        sampled.rate, {sampling.standing("sampled.trace_id", salt="repeated")} < {{repeat_share:Float64}},
        texts.trace_id != '', texts.question, texts.answer, texts.documents
    FROM sampled
    LEFT JOIN texts ON
        texts.tenant_id = sampled.tenant_id AND texts.trace_id = sampled.trace_id
        AND texts.span_id = sampled.span_id
    ORDER BY sampled.arrived, sampled.trace_id, sampled.span_id
    """
