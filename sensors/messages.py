"""What a notification says: Slack blocks with the level, what changed, the diagnosis and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from assay.settings import Settings
from sensors import unpriced
from sensors.alerts import Event

# Slack refuses longer ones.
_HEADER_LIMIT, _SECTION_LIMIT = 150, 3000
_NOTHING_ELSE = (
    "nothing else: same models, tokens per call, cache hit rate and errors as in the 24 hours before, "
    "and no deployment"
)
_HEADINGS = {"opened": "", "upgraded": "now a ", "resolved": "resolved: "}


def message(event: Event, settings: Settings) -> dict[str, Any]:
    """``text`` and ``blocks`` of the notification of an opened, upgraded or resolved alert."""
    is_unpriced = event.rule in unpriced.RULES
    name = event.prompt_template_version or event.model or "all traffic"
    whose = event.tenant_id
    if is_unpriced:
        name, whose = event.evidence["name"], "no price"
    kind = f"{'experiment, ' if event.cohort == 'experiment' else ''}{event.level}"
    heading = f"{_HEADINGS[event.event]}{kind} · {whose} · {name}"
    heading = heading[0].upper() + heading[1:]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": heading[:_HEADER_LIMIT]}},
        _section(escape(event.summary)),
    ]
    if event.event != "resolved":
        shown = _unpriced_figures(event) if is_unpriced else _figures(event)
        fields = [{"type": "mrkdwn", "text": f"*{label}*\n{escape(value)}"} for label, value in shown]
        blocks.append({"type": "section", "fields": fields})
        blocks.append(_section(_remedy(event) if is_unpriced else _changes(event)))
    blocks.append(_section(_links(event, settings)))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _footer(event)}]})
    return {"text": f"{heading}: {event.summary}", "blocks": blocks}


def dashboard_link(event: Event, settings: Settings) -> str:
    """The overview page, filtered to the alert's traffic. The names are those of the page's address."""
    pairs = [("range", "6h")]
    if event.tenant_id:
        pairs.append(("tenant", event.tenant_id))
    if event.model:
        pairs.append(("model", event.model))
    if event.prompt_template_version:
        pairs.append(("template", event.prompt_template_version))
    if event.cohort != "production":
        pairs.append(("cohort", event.cohort))
    pairs.append(("group", "model"))
    return f"{settings.dashboard}/?{urlencode(pairs)}"


def escape(text: str) -> str:
    """Text as Slack shows it literally; names come from outside."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_SECTION_LIMIT]}}


def _changes(event: Event) -> str:
    changes = event.evidence.get("diagnosis", {}).get("changes", [])
    return "\n".join(
        ["*What changed with it*", *(f"• {escape(change)}" for change in changes or [_NOTHING_ELSE])]
    )


def _remedy(event: Event) -> str:
    lines = ["*What to do*"]
    for step in event.evidence["remedy"]:
        lines.append(f"• {escape(step['do'])}")
        lines += [f"`{escape(command)}`" for command in step.get("commands", [])]
    return "\n".join(lines)


def _unpriced_figures(event: Event) -> list[tuple[str, str]]:
    evidence = event.evidence
    past = evidence["past_unpriced"]
    unpriced_calls, calls = evidence["unpriced"], evidence["calls"]
    return [
        ("Without a price", f"{unpriced_calls:,} of {calls:,} calls ({unpriced_calls / calls:.0%})"),
        ("Tokens", f"{evidence['tokens']:,}"),
        ("Reason", _counted(evidence["reasons"])),
        ("Tenants", _counted(evidence["tenants"])),
        (
            "Before",
            "no calls" if past is None else f"{past:,.0f} calls in as long a time, at its 95th percentile",
        ),
        ("Window (UTC)", _window(evidence)),
        ("Rule", event.rule),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "unknown"


def _window(evidence: Mapping[str, Any]) -> str:
    window = evidence.get("window", {})
    return f"{str(window.get('start', ''))[11:16]} to {str(window.get('end', ''))[11:16]}"


def _figures(event: Event) -> list[tuple[str, str]]:
    evidence = event.evidence
    return [
        ("Cost per call", _change(evidence, "cost_expected_usd", "cost_p50_usd", "cost_ratio", "${:.3g}")),
        ("Quality", _change(evidence, "quality_expected", "quality_p50", "quality_ratio", "{:.2f}")),
        ("Evidence", f"{evidence.get('requests', 0)} calls, {evidence.get('evaluations', 0)} scores"),
        ("Window (UTC)", _window(evidence)),
        ("Rule", event.rule),
        ("Baseline", f"{evidence.get('baseline_as_of')}, of {evidence.get('baseline_of')}"),
    ]


def _change(evidence: Mapping[str, Any], was: str, now: str, ratio: str, form: str) -> str:
    if evidence.get(ratio) is None:
        return "unknown"
    return f"× {evidence[ratio]:.2f} ({form.format(evidence[was])} → {form.format(evidence[now])})"


def _links(event: Event, settings: Settings) -> str:
    runbook = f"<{settings.runbook_url}|Runbook>" if settings.runbook_url else "Runbook: docs/alerts.md"
    return f"<{dashboard_link(event, settings)}|Dashboard> · {runbook}"


def _footer(event: Event) -> str:
    text = f"alert {event.alert_id} · {event.occurred_at:%Y-%m-%d %H:%M} UTC"
    if event.event != "resolved":
        text += f" · `assay alerts ack {event.alert_id} --by you`"
    return text
