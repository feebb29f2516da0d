"""What has to hold for the raw tables, as Great Expectations suites over SQLAlchemy.

``sound`` suites speak of corrupt data: what is computed from it would be wrong. ``usable`` suites speak of
data that is right and says less than it should. The library takes seconds to import: :func:`validate` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from assay.settings import Settings

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Level = Literal["sound", "usable"]

# A day, and what the daily run may be late by.
_HOURS: Final = 25
# Counts are unsigned: a negative one that went through somewhere comes out as more than this.
_MOST_TOKENS: Final = 2**31 - 1
# What the writer takes for a sender's clock that is a little ahead.
_AHEAD: Final = "INTERVAL 1 DAY"
# An invoice that differs by more is an accounting error: so is a larger share of calls without a price.
_PRICED: Final = 0.95
# Below this, figures by template say little: a template cannot be blamed for what it does not own up to.
_WITH_TEMPLATE: Final = 0.8
_WITHOUT_ERROR: Final = 0.9
_WITH_SCORE: Final = 0.8
# Entries that replace one another and hold for months: all of them count, not the last day's.
_REFERENCE: Final = (
    "tenants",
    "task_times",
    "canonical_examples",
    "provider_invoices",
    "provider_contracts",
    "exchange_rates",
)

# Traces of several tenants among those of outcomes that name none; in the order of the index's hashes.
_SHARED: Final = (
    "SELECT trace_hash FROM llm_span_index WHERE trace_hash IN ("
    "SELECT xxh3(trace_id) FROM business_outcomes WHERE tenant_id = '' AND trace_id != '' "
    f"AND ingested_at >= now('UTC') - INTERVAL {_HOURS} HOUR"
    ") GROUP BY trace_hash HAVING uniqExact(tenant_id) > 1"
)


@dataclass(frozen=True)
class Suite:
    """Expectations of one table.

    Attributes:
        table: the raw table.
        level: what it means where one is not met.
        description: in one sentence.
        build: makes the expectations; given the library's module of them.
    """

    table: str
    level: Level
    description: str
    build: Callable[[Any], list[Expectation]]

    @property
    def query(self) -> str:
        """The rows of the last day, corrections applied; of what people enter, everything that counts."""
        if self.table in _REFERENCE:
            return f"SELECT * FROM {self.table} FINAL"
        final = " FINAL" if self.table in ("llm_traces", "llm_evaluations") else ""
        return f"SELECT * FROM {self.table}{final} WHERE ingested_at >= now('UTC') - INTERVAL {_HOURS} HOUR"


@dataclass(frozen=True)
class Verdict:
    """Whether a suite is met. ``failures`` say which expectation is not, and by how many rows."""

    suite: Suite
    evaluated: int
    failures: list[str]

    @property
    def passed(self) -> bool:
        return not self.failures


def _identified(x: Any, *columns: str) -> list[Expectation]:
    """Columns that have to hold something: neither NULL nor empty."""
    return [
        expectation
        for column in columns
        for expectation in (
            x.ExpectColumnValuesToNotBeNull(column=column),
            x.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1),
        )
    ]


def _no_rows(x: Any, what: str, condition: str) -> Expectation:
    """No row of the batch meets a condition, in the store's SQL."""
    made: Expectation = x.UnexpectedRowsExpectation(
        unexpected_rows_query=f"SELECT 1 FROM {{batch}} WHERE {condition}", description=what
    )
    return made


def _past(x: Any, *columns: str) -> list[Expectation]:
    return [_no_rows(x, f"{c} is not ahead of time", f"{c} > now64(6, 'UTC') + {_AHEAD}") for c in columns]


def _within(x: Any, column: str, least: float, most: float | None = None) -> Expectation:
    made: Expectation = x.ExpectColumnValuesToBeBetween(column=column, min_value=least, max_value=most)
    return made


def _part(x: Any, whole: str, part: str) -> Expectation:
    """A count is not more than what it is part of, where it is known."""
    made: Expectation = x.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=whole, column_B=part, or_equal=True, ignore_row_if="either_value_is_missing"
    )
    return made


SUITES: Final = (
    Suite(
        "llm_traces",
        "sound",
        "Calls have an identity, a past time, possible counts, and a cost exactly where they have a price.",
        lambda x: [
            *_identified(x, "tenant_id", "trace_id", "span_id", "model"),
            *_past(x, "timestamp"),
            _within(x, "prompt_tokens", 0, _MOST_TOKENS),
            _within(x, "completion_tokens", 0, _MOST_TOKENS),
            _part(x, "prompt_tokens", "cached_tokens"),
            _part(x, "prompt_tokens", "cache_write_tokens"),
            _part(x, "completion_tokens", "reasoning_tokens"),
            x.ExpectColumnValuesToBeInSet(column="cost_status", value_set=["priced", "partial", "unpriced"]),
            _no_rows(
                x,
                "a cost is NULL exactly where there is no price",
                "(cost_status = 'unpriced') != isNull(cost_usd)",
            ),
            _within(x, "cost_usd", 0),
            _within(x, "latency_ms", 0),
        ],
    ),
    Suite(
        "llm_traces",
        "usable",
        "Most calls have a price and a template, and end without an error.",
        lambda x: [
            x.ExpectColumnValuesToBeInSet(
                column="cost_status", value_set=["priced", "partial"], mostly=_PRICED
            ),
            x.ExpectColumnValueLengthsToBeBetween(
                column="prompt_template_version", min_value=1, mostly=_WITH_TEMPLATE
            ),
            x.ExpectColumnValuesToNotBeInSet(column="status", value_set=["error"], mostly=_WITHOUT_ERROR),
        ],
    ),
    Suite(
        "llm_evaluations",
        "sound",
        "Scores belong to a call, lie between 0 and 1, and say at which rate they were sampled.",
        lambda x: [
            *_identified(x, "tenant_id", "trace_id", "evaluator"),
            *_past(x, "timestamp", "span_timestamp"),
            _within(x, "score", 0, 1),
            _within(x, "confidence", 0, 1),
            _no_rows(x, "a sampling rate is above 0", "sampling_rate <= 0"),
            _within(x, "sampling_rate", 0, 1),
        ],
    ),
    Suite(
        "llm_evaluations",
        "usable",
        "Evaluators can tell for most of what they are asked.",
        lambda x: [x.ExpectColumnValuesToNotBeNull(column="score", mostly=_WITH_SCORE)],
    ),
    Suite(
        "end_user_feedback",
        "sound",
        "Feedback belongs to a trace and lies between -1 and 1.",
        lambda x: [*_identified(x, "trace_id"), *_past(x, "timestamp"), _within(x, "value", -1, 1)],
    ),
    Suite(
        "business_outcomes",
        "sound",
        "Outcomes name an event, and a trace or a user.",
        lambda x: [
            *_identified(x, "event"),
            *_past(x, "timestamp"),
            _no_rows(x, "a trace or a user is named", "trace_id = '' AND user_id = ''"),
        ],
    ),
    Suite(
        "business_outcomes",
        "usable",
        "Outcomes name their tenant where several tenants have the trace: else they count for nobody.",
        lambda x: [
            # Always so: it counts the rows that were looked at.
            x.ExpectColumnValuesToNotBeNull(column="tenant_id"),
            _no_rows(
                x,
                "a trace of several tenants comes with its tenant",
                f"tenant_id = '' AND xxh3(trace_id) IN ({_SHARED})",
            ),
        ],
    ),
    Suite(
        "human_labels",
        "sound",
        "Labels belong to a trace and a person and lie between 0 and 1.",
        lambda x: [*_identified(x, "trace_id", "rater"), *_past(x, "timestamp"), _within(x, "score", 0, 1)],
    ),
    Suite(
        "tenants",
        "sound",
        "Tenants have an id, a known tier and a known capture policy.",
        lambda x: [
            *_identified(x, "tenant_id"),
            x.ExpectColumnValuesToBeInSet(column="tier", value_set=["high_value", "standard", "batch"]),
            x.ExpectColumnValuesToBeInSet(column="capture", value_set=["none", "sampled", "full"]),
        ],
    ),
    Suite(
        "tenants",
        "usable",
        "Time zones and currencies of tenants are known: else their months are UTC's, their amounts dollars.",
        lambda x: [
            x.ExpectColumnValueLengthsToEqual(column="currency", value=3),
            _no_rows(
                x,
                "a time zone is known",
                "time_zone != '' AND time_zone NOT IN (SELECT time_zone FROM system.time_zones)",
            ),
        ],
    ),
    Suite(
        "task_times",
        "sound",
        "Measured tasks have a type and took time.",
        lambda x: [
            *_identified(x, "task_type"),
            *_past(x, "timestamp"),
            _no_rows(x, "a task took time", "human_minutes <= 0"),
        ],
    ),
    Suite(
        "canonical_examples",
        "sound",
        "Examples have a task type, a text and a complexity above 0.",
        lambda x: [
            *_identified(x, "task_type", "text"),
            _no_rows(x, "a complexity is above 0", "complexity <= 0"),
        ],
    ),
    Suite(
        "provider_invoices",
        "sound",
        "Lines of invoices name who bills what, for a period that ends after it begins.",
        lambda x: [
            *_identified(x, "provider", "model"),
            _within(x, "amount_usd", 0),
            _no_rows(x, "a period ends after it begins", "period_end <= period_start"),
        ],
    ),
    Suite(
        "provider_contracts",
        "sound",
        "Contracts are a credit or capacity of a provider, of an amount, for a time.",
        lambda x: [
            *_identified(x, "contract_id", "provider"),
            x.ExpectColumnValuesToBeInSet(column="kind", value_set=["credit", "provisioned"]),
            _within(x, "amount_usd", 0),
            # On no day where the two are equal: so it is withdrawn.
            _no_rows(x, "a contract does not end before it begins", "valid_to < valid_from"),
            _no_rows(
                x,
                "capacity is of so many units a month or an hour",
                "kind = 'provisioned' AND (units <= 0 OR per NOT IN ('month', 'hour'))",
            ),
        ],
    ),
    Suite(
        "exchange_rates",
        "sound",
        "Rates are of a currency by its three letters, and above 0.",
        lambda x: [
            x.ExpectColumnValueLengthsToEqual(column="currency", value=3),
            _no_rows(x, "a rate is above 0", "rate <= 0"),
        ],
    ),
)


def validate(settings: Settings, suites: tuple[Suite, ...] = SUITES) -> Iterator[Verdict]:
    """Hold the last day's rows against the suites; one verdict each, in their order."""
    import great_expectations as gx
    from great_expectations import expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_sql(
        "store", connection_string=_sqlalchemy_url(settings), create_temp_table=False
    )
    for suite in suites:
        asset = source.add_query_asset(f"{suite.table}_{suite.level}", query=suite.query)
        batch = asset.add_batch_definition_whole_table("last day").get_batch()
        found = batch.validate(
            gx.ExpectationSuite(name=suite.table, expectations=suite.build(expectations)),
            result_format="SUMMARY",
        )
        counts = [r.result.get("element_count") or 0 for r in found.results]
        yield Verdict(suite, max(counts, default=0), [_failure(r) for r in found.results if not r.success])


def _failure(result: Any) -> str:
    """Which expectation is not met, and by how much."""
    config, found = result.expectation_config, result.result
    if result.exception_info and result.exception_info.get("raised_exception"):
        return f"{config.type} could not be evaluated: {result.exception_info['exception_message']}"
    arguments = config.kwargs
    what = config.description or " ".join(
        str(part)
        for part in (
            arguments.get("column") or f"{arguments.get('column_A')} ≥ {arguments.get('column_B')}",
            config.type,
        )
    )
    count = found.get("unexpected_count", found.get("observed_value"))
    share = found.get("unexpected_percent")
    return f"{what}: {count:,} rows" + (f" ({share:.1f} %)" if share is not None else "")


def _sqlalchemy_url(settings: Settings) -> str:
    """The store as SQLAlchemy names it."""
    url = urlsplit(settings.clickhouse)
    secure = "?secure=true" if url.scheme == "https" else ""
    # The library puts variables in where there is a dollar sign.
    return f"clickhousedb://{url.netloc}/{settings.clickhouse_database}{secure}".replace("$", r"\$")
