"""Bodies of the HTTP interface that are not records themselves."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from assay.contracts.fields import Dimension, Id, Name, Share, Text, Timestamp, Tokens32, Usd, checked_usd
from assay.contracts.records import Record, Tokens


class Rejected(Struct, kw_only=True):
    """One record that was not accepted: where it stood in the request, which field, and why."""

    index: int
    reason: str
    field: str = ""


class IngestAnswer(Struct, kw_only=True):
    """Answer to ``POST /v1/spans`` and its siblings. Accepted means durably queued."""

    accepted: int
    rejected: list[Rejected]


class ErrorAnswer(Struct, kw_only=True):
    """What went wrong with the request as a whole, and what to do about it."""

    error: str
    fix: str = ""


class ReadyAnswer(Struct, kw_only=True):
    """Answer to ``GET /readyz``: whether the service can do its work, and each thing it depends on."""

    ready: bool
    checks: dict[str, str]


class ReserveRequest(Record):
    """``POST /v1/budget/reserve``: by tokens of a model, or by an estimate of the cost."""

    request_id: Id
    tenant_id: Name
    model: Dimension = ""
    session_id: Dimension = ""
    prompt_tokens: Tokens32 | None = None
    max_tokens: Tokens32 | None = None
    estimated_cost_usd: Usd | None = None

    def __post_init__(self) -> None:
        checked_usd(self.estimated_cost_usd, "estimated_cost_usd")
        by_tokens = bool(self.model) and self.prompt_tokens is not None and self.max_tokens is not None
        if self.estimated_cost_usd is None and not by_tokens:
            raise ValueError(
                "`estimated_cost_usd`, or `model`, `prompt_tokens` and `max_tokens`, are required"
            )


class ReserveAnswer(Struct, kw_only=True):
    """Whether the call may be made, with which model, and what it leaves."""

    decision: Literal["allow", "downgrade", "stop"]
    lease_id: str
    model: str
    remaining_usd: Decimal
    expires_at: Timestamp
    reason: str


class SettleRequest(Record):
    """``POST /v1/budget/settle``: what the call did cost, in dollars or in tokens."""

    lease_id: Id
    cost_usd: Usd | None = None
    tokens: Tokens | None = None

    def __post_init__(self) -> None:
        checked_usd(self.cost_usd, "cost_usd")
        if (self.cost_usd is None) == (self.tokens is None):
            raise ValueError("exactly one of `cost_usd` and `tokens` is required")


class ReleaseRequest(Record):
    """``POST /v1/budget/release``: the call was not made."""

    lease_id: Id


class BudgetAnswer(Struct, kw_only=True):
    """``GET /v1/budget/{tenant}`` and the answer to settle and release."""

    spent_usd: Decimal
    remaining_usd: Decimal


class RouteRequest(Record):
    """``POST /v1/route``: which model should answer this input."""

    tenant_id: Name
    prompt_tokens: Tokens32
    max_tokens: Tokens32
    task_type: Dimension = ""
    prompt_template_version: Dimension = ""
    input: Text | None = None
    embedding: list[float] | None = None
    quality_requirement: Share | None = None
    candidates: list[Name] | None = None


class RouteAnswer(Struct, kw_only=True):
    """The model chosen, what it is expected to be worth and to cost, and why."""

    model: str
    predicted_quality: Annotated[float, Meta(ge=0, le=1)] | None
    estimated_cost_usd: Decimal
    reason: str


class DecisionRequest(Record):
    """``POST /v1/decisions/{id}``: a person's answer to a decision that waits for one."""

    answer: Literal["approve", "reject"]
    by: Name
    comment: Text = ""


class DecisionAnswer(Struct, kw_only=True):
    """``GET /v1/decisions``: one decision of an actuator."""

    decision_id: str
    tenant_id: str
    action: str
    status: str
    decided_at: Timestamp
    reason: str
    evidence: dict[str, Any]


BODIES: dict[str, type[Struct]] = {
    "ingest_answer": IngestAnswer,
    "error_answer": ErrorAnswer,
    "ready_answer": ReadyAnswer,
    "budget_reserve_request": ReserveRequest,
    "budget_reserve_answer": ReserveAnswer,
    "budget_settle_request": SettleRequest,
    "budget_release_request": ReleaseRequest,
    "budget_answer": BudgetAnswer,
    "route_request": RouteRequest,
    "route_answer": RouteAnswer,
    "decision_request": DecisionRequest,
    "decision_answer": DecisionAnswer,
}
