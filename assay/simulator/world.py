"""Who sends the simulated traffic: tenants, their prompt templates, models, and what is changed when.

Tenants are invented. Models and prices are real. Volumes are calls per day on an average weekday.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from assay.contracts.records import Capture, RiskClass, Tenant, TenantTier

SOURCE: Final = "simulator"

# Probabilities of texts.ANSWERS, from complete to wrong.
STRONG: Final = (0.62, 0.22, 0.10, 0.04, 0.02)
FAIR: Final = (0.45, 0.30, 0.15, 0.07, 0.03)
WEAK: Final = (0.28, 0.32, 0.24, 0.11, 0.05)
DEGRADED: Final = (0.03, 0.07, 0.22, 0.40, 0.28)


# Minutes that a person takes for a task of each type, in the median. Invented, like the tenants; their order
# is plain: to sort a ticket is quick, to review code is not.
HUMAN_MINUTES: Final = {
    "classification": 1.0,
    "extraction": 4.0,
    "rag": 6.0,
    "drafting": 9.0,
    "generation": 15.0,
    "summarisation": 30.0,
    "code": 40.0,
}


@dataclass(frozen=True)
class Model:
    """A model and how fast it answers (typical figures of 2025; they shape the latency alone)."""

    name: str
    provider: str
    response_model: str
    first_token_ms: float
    ms_per_token: float


@dataclass(frozen=True)
class Template:
    """One prompt template of a tenant.

    Attributes:
        name: family; the version is appended (``rag-answer`` → ``rag-answer-v3``).
        models: model and its share of the calls.
        per_day: calls on a weekday.
        prompt, completion: median tokens.
        spread: σ of the log-normal of both.
        prefix: share of the prompt that is the cacheable prefix; 0 where nothing is cached.
        cache_hits: probability that the prefix was cached.
        answers: probabilities of ``texts.ANSWERS``.
        released_every_days: a new version is rolled out at noon of every n-th day; 0: version 3 always.
        experiment: share of the calls that take part in the experiment while it runs.
    """

    name: str
    task_type: str
    topic: str
    models: tuple[tuple[str, float], ...]
    per_day: float
    prompt: int
    completion: int
    answers: tuple[float, ...] = FAIR
    spread: float = 0.35
    prefix: float = 0.0
    cache_hits: float = 0.0
    released_every_days: int = 0
    experiment: float = 0.0


@dataclass(frozen=True)
class Customer:
    """One tenant and its traffic.

    Attributes:
        peak_hour: UTC hour of the busiest time.
        weekend: traffic on Saturdays and Sundays as a share of weekdays.
        users: size of the user pool; 0 where no people are behind the calls.
    """

    tenant_id: str
    name: str
    tier: TenantTier
    templates: tuple[Template, ...]
    peak_hour: float = 15.0
    weekend: float = 0.45
    users: int = 400
    time_zone: str = "UTC"
    cost_centre: str = ""
    risk_class: RiskClass = "standard"
    capture: Capture = "full"

    def record(self) -> Tenant:
        """The tenant as it is loaded."""
        return Tenant(
            tenant_id=self.tenant_id,
            name=f"{self.name} (simulated)",
            tier=self.tier,
            time_zone=self.time_zone,
            cost_centre=self.cost_centre,
            risk_class=self.risk_class,
            capture=self.capture,
        )


MODELS: Final = {
    m.name: m
    for m in (
        Model("claude-opus-4-5", "anthropic", "claude-opus-4-5-20251101", 900, 16),
        Model("claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5-20250929", 700, 13),
        Model("claude-haiku-4-5", "anthropic", "claude-haiku-4-5-20251001", 380, 7),
        Model("gpt-4.1", "openai", "gpt-4.1-2025-04-14", 520, 11),
        Model("gpt-4o-mini", "openai", "gpt-4o-mini-2024-07-18", 340, 9),
        Model("gemini-2.5-pro", "google", "gemini-2.5-pro", 820, 10),
        Model("gemini-2.5-flash", "google", "gemini-2.5-flash", 300, 5),
        # Served by the tenant itself: no list price, so its cost is unknown, not zero.
        Model("hooli-intent-7b", "self-hosted", "hooli-intent-7b", 60, 4),
    )
}

CUSTOMERS: Final = (
    Customer(
        tenant_id="acme",
        name="Acme Retail",
        tier="high_value",
        time_zone="America/New_York",
        cost_centre="CC-100",
        peak_hour=19,
        weekend=0.7,
        users=900,
        templates=(
            Template(
                "rag-answer", "rag", "support", (("claude-haiku-4-5", 1.0),), 2300, 3600, 260, STRONG,
                spread=0.28, prefix=0.6, cache_hits=0.85,
            ),
            Template("triage", "classification", "support", (("gpt-4o-mini", 1.0),), 700, 650, 24, STRONG),
            Template(
                "reply-draft", "drafting", "support", (("claude-sonnet-4-5", 1.0),), 260, 1900, 420, STRONG,
                prefix=0.55, cache_hits=0.8, released_every_days=14,
            ),
        ),
    ),
    Customer(
        tenant_id="globex",
        name="Globex Legal",
        tier="high_value",
        time_zone="Europe/London",
        cost_centre="CC-200",
        peak_hour=13,
        weekend=0.15,
        users=120,
        templates=(
            Template(
                "contract-qa", "rag", "legal", (("gemini-2.5-pro", 1.0),), 320, 9000, 380, STRONG,
                prefix=0.75, cache_hits=0.7,
            ),
            Template(
                "summary", "summarisation", "legal", (("claude-opus-4-5", 1.0),), 90, 12000, 700, STRONG
            ),
        ),
    ),
    Customer(
        tenant_id="initech",
        name="Initech",
        tier="standard",
        time_zone="America/Chicago",
        cost_centre="CC-310",
        peak_hour=17,
        weekend=0.2,
        users=150,
        templates=(
            Template(
                "code-review", "code", "code", (("gpt-4.1", 1.0),), 750, 5200, 520, FAIR,
                prefix=0.55, cache_hits=0.8, experiment=0.4,
            ),
            Template("commit-title", "drafting", "code", (("gpt-4o-mini", 1.0),), 380, 900, 18, STRONG),
        ),
    ),
    Customer(
        tenant_id="umbrella",
        name="Umbrella Insurance",
        tier="standard",
        time_zone="Europe/Berlin",
        cost_centre="CC-420",
        risk_class="regulated",
        peak_hour=10,
        weekend=0.3,
        users=260,
        templates=(
            Template(
                "claims-qa", "rag", "claims", (("claude-haiku-4-5", 0.85), ("claude-sonnet-4-5", 0.15)),
                520, 2800, 230, FAIR, prefix=0.6, cache_hits=0.8,
            ),
            Template("claims-extract", "extraction", "claims", (("gpt-4o-mini", 1.0),), 450, 2100, 160, FAIR),
        ),
    ),
    Customer(
        tenant_id="hooli",
        name="Hooli Travel",
        tier="standard",
        time_zone="Asia/Tokyo",
        cost_centre="CC-555",
        peak_hour=6,
        weekend=1.25,
        users=1500,
        templates=(
            Template(
                "search-answer", "rag", "search", (("gemini-2.5-flash", 1.0),), 900, 1500, 180, WEAK,
                # Below 30 % of the prompt tokens come from the cache: the template that FinOps should see.
                prefix=0.5, cache_hits=0.25,
            ),
            Template("intent", "classification", "search", (("hooli-intent-7b", 1.0),), 150, 120, 8, FAIR),
        ),
    ),
    Customer(
        tenant_id="wonka",
        name="Wonka Catalogue",
        tier="batch",
        time_zone="UTC",
        cost_centre="CC-900",
        peak_hour=2,
        weekend=1.0,
        users=0,
        templates=(
            Template(
                "catalog-text", "generation", "catalog", (("gemini-2.5-flash", 0.6), ("gpt-4o-mini", 0.4)),
                1100, 800, 350, WEAK,
            ),
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """An A/B test: in the first ``days`` days of every ``every_days`` days, so that any month has one."""

    experiment_id: str = "short-context"
    every_days: int = 28
    days: int = 12
    # The treatment sends less context: cheaper, and a little worse.
    prompt_factor: float = 0.62
    answers: tuple[float, ...] = WEAK

    def running(self, day: int) -> bool:
        """Whether it runs on this day (proleptic ordinal)."""
        return day % self.every_days < self.days


@dataclass(frozen=True)
class Shift:
    """The incident: one template silently moves to another model, with longer prompts and worse answers."""

    tenant_id: str = "acme"
    template: str = "rag-answer"
    model: str = "claude-sonnet-4-5"
    # haiku → sonnet is × 3 at list price; more retrieved text on top, which is what makes the answers worse.
    prompt_factor: float = 1.25
    answers: tuple[float, ...] = DEGRADED
    description: str = "Retrieval depth raised from 8 to 10 documents; SDK upgraded"


@dataclass(frozen=True)
class World:
    """Everything that the traffic model needs to know."""

    customers: tuple[Customer, ...] = CUSTOMERS
    experiment: Experiment = field(default_factory=Experiment)
    shift: Shift = field(default_factory=Shift)

    @property
    def series(self) -> list[tuple[Customer, Template]]:
        """Every template with its tenant, in a fixed order: what traffic columns index."""
        return [(customer, template) for customer in self.customers for template in customer.templates]


WORLD: Final = World()


def version(template: Template, day: int) -> int:
    """The version of a template in force at the start of a day (proleptic ordinal)."""
    if not template.released_every_days:
        return 3
    return 1 + (day - 1) // template.released_every_days % 90


def releases_on(template: Template, day: int) -> bool:
    """Whether a new version of the template is rolled out on this day."""
    return bool(template.released_every_days) and day % template.released_every_days == 0
