"""The regression policy: rules, windows and gates as data, read from YAML and checked field by field."""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Scope = Literal["template", "model", "tenant"]
Positive = Annotated[float, Field(gt=0)]
Minutes = Annotated[int, Field(ge=0, le=1440)]
Share = Annotated[float, Field(ge=0, le=1)]

# Longest window and shift: what a tick may ask of the minute rollup.
LONGEST_WINDOW_MINUTES = 360


class PolicyError(ValueError):
    """The policy cannot be used; the message names the file, the field and what it should hold."""


class Level(IntEnum):
    """How loud an alert is. Higher is louder."""

    NONE = 0
    INVESTIGATE = 1
    PAGE = 2

    @property
    def label(self) -> str:
        """As stored and written in policies: ``page``, ``investigate``, ``none``."""
        return self.name.lower()


def _level(value: object) -> object:
    return Level[value.upper()] if isinstance(value, str) and value.upper() in Level.__members__ else value


RuleLevel = Annotated[Level, BeforeValidator(_level)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Part):
    """Conditions that must hold together; those not given are not asked for."""

    level: RuleLevel
    cost_ratio_above: Positive | None = None
    cost_z_above: float | None = None
    quality_ratio_below: Positive | None = None
    quality_z_below: float | None = None

    @property
    def needs_quality(self) -> bool:
        return self.quality_ratio_below is not None or self.quality_z_below is not None

    @property
    def needs_cost(self) -> bool:
        return self.cost_ratio_above is not None or self.cost_z_above is not None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.level is Level.NONE:
            raise ValueError("level must be `page` or `investigate`; remove a rule by setting it to null")
        if not (self.needs_cost or self.needs_quality):
            raise ValueError(
                "needs at least one of cost_ratio_above, cost_z_above, quality_ratio_below, quality_z_below"
            )
        # A rule that holds without a change would also hold the alert open for ever.
        if self.cost_ratio_above is not None and self.cost_ratio_above < 1:
            raise ValueError("cost_ratio_above must be at least 1")
        if self.quality_ratio_below is not None and self.quality_ratio_below > 1:
            raise ValueError("quality_ratio_below must be at most 1")
        if self.cost_z_above is not None and self.cost_z_above < 0:
            raise ValueError("cost_z_above must not be negative")
        if self.quality_z_below is not None and self.quality_z_below > 0:
            raise ValueError("quality_z_below must not be positive")
        return self


class Window(_Part):
    """A stretch of time that ends now, and what it must hold to count as evidence."""

    minutes: Annotated[int, Field(ge=1, le=LONGEST_WINDOW_MINUTES)]
    min_requests: Annotated[int, Field(ge=1)]
    min_evaluations: Annotated[int, Field(ge=1)]
    persistence_minutes: Annotated[int, Field(ge=0, le=60)]
    significance: Annotated[float, Field(ge=0)]


class Gates(_Part):
    """What a baseline must rest on. Below, the series is cold."""

    min_baseline_hours: Annotated[int, Field(ge=1)]
    min_baseline_requests: Annotated[int, Field(ge=1)]
    min_baseline_evaluations: Annotated[int, Field(ge=1)]
    min_coverage: Share


class Experiment(_Part):
    """How experiment traffic is judged. ``rules`` null: like production, up to ``max_level``."""

    enabled: bool
    max_level: RuleLevel
    rules: dict[str, Rule] | None


class Baseline(_Part):
    """How the past is weighted."""

    half_life_days: Positive
    lookback_days: Annotated[int, Field(ge=1, le=366)]
    max_age_days: Annotated[int, Field(ge=0, le=31)]
    exclude_incidents: bool
    exclude_lead_minutes: Minutes


class Timing(_Part):
    """When data is looked at and when an alert ends."""

    settle_seconds: Annotated[int, Field(ge=0, le=3600)]
    max_judging_delay_minutes: Minutes
    quiet_minutes: Annotated[int, Field(ge=1, le=1440)]
    update_minutes: Annotated[int, Field(ge=1, le=60)]
    cooldown_minutes: Minutes
    deployment_lookback_minutes: Minutes


class Unpriced(_Part):
    """When calls without a price are an alert: of one provider's model, over all tenants."""

    level: RuleLevel
    # Whole quarter hours, in which providers are counted.
    window_minutes: Annotated[int, Field(ge=30, le=LONGEST_WINDOW_MINUTES, multiple_of=15)]
    min_calls: Annotated[int, Field(ge=1)]
    persistence_minutes: Annotated[int, Field(ge=1, le=60)]
    lookback_days: Annotated[int, Field(ge=1, le=31)]
    growth_above: Annotated[float, Field(ge=1)]
    significance: Annotated[float, Field(ge=0)]
    resolve_share_below: Share
    forget_hours: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _is_a_level(self) -> Self:
        if self.level is Level.NONE:
            raise ValueError("level must be `page` or `investigate`; switch it off with `unpriced: null`")
        if self.forget_hours >= 24 * self.lookback_days:
            raise ValueError("forget_hours must be less than lookback_days: what is older is not looked at")
        return self


class Policy(_Part):
    """A whole policy. :meth:`for_tenant` gives what holds for one tenant."""

    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    like_for_like: bool
    z_reference: Literal["baseline", "week_before"]
    sampling_error: bool
    min_relative_spread: Annotated[float, Field(gt=0, le=1)]
    windows: Annotated[tuple[Window, ...], Field(min_length=1, max_length=8)]
    gates: Gates
    rules: Annotated[dict[str, Rule], Field(min_length=1)]
    experiment: Experiment
    unpriced: Unpriced | None
    baseline: Baseline
    timing: Timing
    # Differences by tenant, merged over the rest: rules, gates and experiment. Windows and timing are shared,
    # because all tenants are read in one query.
    tenants: dict[str, dict[Literal["rules", "gates", "experiment"], dict[str, Any] | None]]

    @model_validator(mode="after")
    def _windows_grow(self) -> Self:
        minutes = [window.minutes for window in self.windows]
        if minutes != sorted(set(minutes)):
            raise ValueError(f"windows must be in order of growing minutes, each once, got {minutes}")
        if len(set(self.scopes)) != len(self.scopes):
            raise ValueError(f"scopes must each stand once, got {', '.join(self.scopes)}")
        return self

    @cached_property
    def by_tenant(self) -> dict[str, Policy]:
        """The policies of the tenants that have one of their own."""
        common = self.model_dump(exclude={"tenants"})
        return {
            tenant: Policy.model_validate({**_merged(common, differences), "tenants": {}})
            for tenant, differences in self.tenants.items()
        }

    def for_tenant(self, tenant_id: str) -> Policy:
        """What holds for this tenant."""
        return self.by_tenant.get(tenant_id, self)


def load(path: Path | None = None, *, name: str = "default") -> Policy:
    """Read a policy.

    Args:
        path: a file with ``extends: default|literal`` and what differs; none: a shipped policy.
        name: which shipped policy, where ``path`` is none: ``default`` or ``literal``.

    Raises:
        PolicyError: naming the file, each field that does not fit and what it should hold.
    """
    shipped = yaml.safe_load((resources.files("sensors") / "policy.yml").read_text())
    source = f"policy {name!r}" if path is None else str(path)
    differences: dict[str, Any] = {}
    if path is not None:
        differences = _read(path)
        name = differences.pop("extends", "default")
    if name not in shipped:
        raise PolicyError(f"{source}: extends: {name!r} is not shipped; choose from {', '.join(shipped)}")
    try:
        policy = Policy.model_validate(_merged(shipped[name], differences))
    except ValidationError as error:
        raise PolicyError(_explained(source, error)) from error
    for tenant in policy.tenants:
        try:
            Policy.model_validate(
                {
                    **_merged(policy.model_dump(exclude={"tenants"}), policy.tenants[tenant]),
                    "tenants": {},
                }
            )
        except ValidationError as error:
            raise PolicyError(_explained(f"{source}: tenants.{tenant}", error)) from error
    return policy


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}; ASSAY_POLICY_FILE must name a readable file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: not YAML: {error}") from error
    if not isinstance(found, dict):
        raise PolicyError(f"{path}: must be a mapping, for example `extends: default`")
    return found


def _merged(base: dict[str, Any], differences: dict[Any, Any]) -> dict[str, Any]:
    """``differences`` over ``base``: mappings are merged, everything else is replaced, null rules are
    removed.
    """
    merged = dict(base)
    for key, value in differences.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    if isinstance(merged.get("rules"), dict):
        merged["rules"] = {name: rule for name, rule in merged["rules"].items() if rule is not None}
    return merged


def _explained(source: str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "policy"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "is not a field of the policy"
        given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
        lines.append(f"{field}: {message}{given}")
    return f"{source}: " + "; ".join(lines)
