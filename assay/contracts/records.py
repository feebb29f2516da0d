"""The records that telemetry sources send, one type each."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from assay.contracts.fields import (
    MAX_USD,
    Count,
    Currency,
    Dimension,
    Id,
    Milliseconds,
    Name,
    Rate,
    ResponseId,
    Share,
    Text,
    Timestamp,
    Tokens32,
    Usd,
    checked_usd,
)

PricingTier = Literal["standard", "batch", "priority", "provisioned"]
Status = Literal["ok", "error", "aborted"]
TenantTier = Literal["high_value", "standard", "batch"]
RiskClass = Literal["standard", "regulated"]
Capture = Literal["none", "sampled", "full"]
# No provider weighs an output token like more than a dozen of the prompt.
MAX_WEIGHT = Decimal(1_000)
# More units of capacity than any provider sells; their amounts have to fit the store's decimals.
MAX_UNITS = Decimal(1_000_000)
# Of the currencies in use the strongest is worth about 3 US dollars, the weakest a hundred-thousandth.
MIN_RATE, MAX_RATE = Decimal("0.000001"), Decimal(100_000_000)


class Record(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A record as it is sent. A field that is not of the contract is refused: a typo loses nothing."""


class Tokens(Record):
    """Token counts of one call. ``prompt`` includes cached and cache-write tokens (OpenTelemetry's rule).

    ``cache_write_1h`` is the part of ``cache_write`` that the provider keeps for an hour, at another
    price than what it keeps for five minutes.
    """

    prompt: Tokens32
    completion: Tokens32
    cached: Tokens32 | None = None
    cache_write: Tokens32 | None = None
    cache_write_1h: Tokens32 | None = None
    reasoning: Tokens32 | None = None

    def __post_init__(self) -> None:
        inside = (self.cached or 0) + (self.cache_write or 0)
        if inside > self.prompt:
            raise ValueError(
                f"`tokens.cached` + `tokens.cache_write` = {inside} exceed `tokens.prompt` = {self.prompt}; "
                "`tokens.prompt` has to include them"
            )
        if (self.cache_write_1h or 0) > (self.cache_write or 0):
            raise ValueError(
                f"`tokens.cache_write_1h` = {self.cache_write_1h} exceeds `tokens.cache_write` = "
                f"{self.cache_write}; `tokens.cache_write` has to include it"
            )
        if (self.reasoning or 0) > self.completion:
            raise ValueError(
                f"`tokens.reasoning` = {self.reasoning} exceeds `tokens.completion` = {self.completion}; "
                "`tokens.completion` has to include it"
            )


class Quality(Record):
    """A score that the gateway sends along with its span."""

    evaluator: Name
    score: Share | None
    confidence: Share | None = None
    evaluator_version: Dimension = ""
    sampling_rate: Rate = 1.0


class Span(Record):
    """One call of a model, as measured at the gateway. Identity is (tenant_id, trace_id, span_id)."""

    trace_id: Id
    span_id: Id
    timestamp: Timestamp
    model: Name
    tokens: Tokens
    tenant_id: Name
    cost_usd: Usd | None = None
    quality: Quality | None = None
    latency_ms: Milliseconds | None = None
    ttft_ms: Milliseconds | None = None
    parent_span_id: Annotated[str, Meta(max_length=256)] = ""
    response_model: Dimension = ""
    response_id: ResponseId = ""
    provider: Dimension = ""
    pricing_tier: PricingTier = "standard"
    prompt_template_version: Dimension = ""
    task_type: Dimension = ""
    session_id: Annotated[str, Meta(max_length=256)] = ""
    user_id: Annotated[str, Meta(max_length=256)] = ""
    experiment_id: Dimension = ""
    experiment_variant: Dimension = ""
    environment: Dimension = ""
    status: Status = "ok"
    error_type: Dimension = ""
    finish_reason: Dimension = ""
    input: Text | None = None
    output: Text | None = None
    context: list[Text] | None = None
    modality: Dimension = ""
    units: dict[Name, Count] | None = None
    attributes: dict[str, str] | None = None

    def __post_init__(self) -> None:
        checked_usd(self.cost_usd, "cost_usd")
        for unit, count in (self.units or {}).items():
            if not (count.is_finite() and 0 <= count < Decimal("1e12")):
                raise ValueError(f"`units.{unit}` must be a finite count, 0 or more, got {count}")
        if self.ttft_ms is not None and self.latency_ms is not None and self.ttft_ms > self.latency_ms:
            raise ValueError(f"`ttft_ms` = {self.ttft_ms} exceeds `latency_ms` = {self.latency_ms}")


class Evaluation(Record):
    """A score of one trace by one evaluator. ``score`` null: the evaluator could not tell.

    The trace is that of ``tenant_id``; where nobody says whose it is, any tenant's that has it.
    """

    trace_id: Id
    evaluator: Name
    score: Share | None
    timestamp: Timestamp
    tenant_id: Dimension = ""
    evaluator_version: Dimension = ""
    span_id: Annotated[str, Meta(max_length=256)] = ""
    verdict: Dimension = ""
    confidence: Share | None = None
    sampling_rate: Rate = 1.0


class Outcome(Record):
    """A business event that a trace led to, or, with ``user_id`` alone, a retention signal.

    Trace and user are those of ``tenant_id``; where nobody says whose they are, they are taken for the one
    tenant's that has them, and for nobody's where several do.
    """

    event: Name
    timestamp: Timestamp
    tenant_id: Dimension = ""
    trace_id: Annotated[str, Meta(max_length=256)] = ""
    user_id: Annotated[str, Meta(max_length=256)] = ""
    value: Decimal | None = None

    def __post_init__(self) -> None:
        if not (self.trace_id or self.user_id):
            raise ValueError("one of `trace_id` and `user_id` is required")
        if self.value is not None and not (self.value.is_finite() and abs(self.value) <= MAX_USD):
            raise ValueError(f"`value` must be a finite number up to {MAX_USD}, got {self.value}")


class Feedback(Record):
    """What an end user thought of an answer: -1 (bad) to 1 (good), 0 neutral."""

    trace_id: Id
    value: Annotated[float, Meta(ge=-1, le=1)]
    timestamp: Timestamp
    tenant_id: Dimension = ""
    user_id: Annotated[str, Meta(max_length=256)] = ""
    comment: Text | None = None


class Label(Record):
    """A human rating of a trace, against which evaluators are calibrated."""

    trace_id: Id
    rater: Name
    score: Share
    timestamp: Timestamp
    tenant_id: Dimension = ""
    rubric: Dimension = ""


class TaskTime(Record):
    """How long people took for a task of this type, in minutes."""

    task_type: Name
    human_minutes: Annotated[float, Meta(gt=0)]
    source: Name
    timestamp: Timestamp


class CanonicalExample(Record):
    """A text of known complexity, from which the complexity of others is measured."""

    task_type: Name
    text: Text
    complexity: Annotated[float, Meta(gt=0)]


class Invoice(Record):
    """One line of a provider's invoice. The period includes its start and excludes its end."""

    provider: Name
    model: Name
    period_start: date
    period_end: date
    amount_usd: Usd

    def __post_init__(self) -> None:
        checked_usd(self.amount_usd, "amount_usd")
        if self.period_end <= self.period_start:
            raise ValueError(
                f"`period_end` = {self.period_end} must be after `period_start` = {self.period_start}"
            )


class Contract(Record):
    """What is agreed with a provider beside prices: a credit, or capacity at a fixed amount.

    ``amount_usd`` is a credit's whole, or what one of ``units`` costs ``per`` month or hour. Of the
    ``tokens_per_minute`` that one serves, an output token takes ``output_weight`` and one that is read
    from the cache ``cache_read_weight``. ``model`` may be a pattern with ``*`` and ``?``; without a
    model, tenant or tier the contract is of all of them. It holds from the day ``valid_from`` until
    before ``valid_to``; on no day where the two are equal: so it is withdrawn.
    """

    contract_id: Id
    kind: Literal["credit", "provisioned"]
    provider: Name
    amount_usd: Usd
    valid_from: date
    source: Name
    model: Dimension = ""
    tenant_id: Dimension = ""
    pricing_tier: Literal["", "standard", "batch", "priority", "provisioned"] = ""
    per: Literal["", "month", "hour"] = ""
    units: Count = Decimal(1)
    tokens_per_minute: Tokens32 | None = None
    output_weight: Count = Decimal(1)
    cache_read_weight: Count = Decimal(1)
    valid_to: date | None = None

    def __post_init__(self) -> None:
        checked_usd(self.amount_usd, "amount_usd")
        if not (self.units.is_finite() and 0 < self.units <= MAX_UNITS):
            raise ValueError(f"`units` must be more than 0 and at most {MAX_UNITS}, got {self.units}")
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError(f"`valid_to` = {self.valid_to} is before `valid_from` = {self.valid_from}")
        if self.kind == "provisioned":
            if not self.per:
                raise ValueError("`per` is needed for provisioned capacity: `month` or `hour`")
            if self.tokens_per_minute == 0:
                raise ValueError(
                    "`tokens_per_minute` must be more than 0; leave it out where it is not known"
                )
            for name in ("output_weight", "cache_read_weight"):
                weight = getattr(self, name)
                if not (weight.is_finite() and 0 <= weight <= MAX_WEIGHT and round(weight, 6) == weight):
                    raise ValueError(
                        f"`{name}` must be from 0 to {MAX_WEIGHT} with at most 6 decimal places, got {weight}"
                    )
            return
        for name, given in (("per", self.per), ("tokens_per_minute", self.tokens_per_minute)):
            if given not in ("", None):
                raise ValueError(f"`{name}` is of provisioned capacity; leave it out of a credit")
        for name in ("units", "output_weight", "cache_read_weight"):
            if getattr(self, name) != 1:
                raise ValueError(f"`{name}` is of provisioned capacity; leave it out of a credit")


class ExchangeRate(Record):
    """Units of ``currency`` for one US dollar on a day, as ``source`` published it."""

    currency: Currency
    day: date
    rate: Count
    source: Name

    def __post_init__(self) -> None:
        if self.currency == "USD":
            raise ValueError("`currency` = USD needs no rate: amounts are in US dollars already")
        if not (self.rate.is_finite() and MIN_RATE <= self.rate <= MAX_RATE):
            raise ValueError(f"`rate` must be between {MIN_RATE} and {MAX_RATE}, got {self.rate}")


class Deployment(Record):
    """A change that was rolled out, for the diagnosis of what follows it."""

    timestamp: Timestamp
    version: Name
    description: Text
    tenant_id: Dimension = ""
    model: Dimension = ""
    prompt_template_version: Dimension = ""


class Incident(Record):
    """A labelled interval to measure detection against."""

    id: Id
    tenant_id: Name
    start: Timestamp
    end: Timestamp
    expected: Literal["page", "investigate", "none"]
    family: Dimension = ""
    description: Text = ""


class Tenant(Record):
    """Who the traffic belongs to and how it is to be treated."""

    tenant_id: Name
    name: Dimension = ""
    tier: TenantTier = "standard"
    time_zone: Dimension = "UTC"
    currency: Currency = "USD"
    cost_centre: Dimension = ""
    risk_class: RiskClass = "standard"
    capture: Capture = "none"


RECORDS: dict[str, type[Record]] = {
    "span": Span,
    "evaluation": Evaluation,
    "outcome": Outcome,
    "feedback": Feedback,
    "label": Label,
    "task_time": TaskTime,
    "canonical_example": CanonicalExample,
    "invoice": Invoice,
    "contract": Contract,
    "exchange_rate": ExchangeRate,
    "deployment": Deployment,
    "incident": Incident,
    "tenant": Tenant,
}
