"""What a notification says: Slack blocks with the level, what changed, the diagnosis and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from assay.settings import Settings
from sensors.alerts import Event

# Slack refuses longer ones.
_HEADER_LIMIT, _SECTION_LIMIT = 150, 3000
_NOTHING_ELSE = (
    "• nothing else: same models, tokens per call, cache hit rate and errors as in the 24 hours before, "
    "and no deployment"
)
_HEADINGS = {"opened": "", "upgraded": "now a ", "resolved": "resolved: "}


def message(event: Event, settings: Settings) -> dict[str, Any]:
    """``text`` and ``blocks`` of the notification of an opened, upgraded or resolved alert."""
    name = event.prompt_template_version or event.model or "all traffic"
    kind = f"{'experiment, ' if event.cohort == 'experiment' else ''}{event.level}"
    heading = f"{_HEADINGS[event.event]}{kind} · {event.tenant_id} · {name}"
    heading = heading[0].upper() + heading[1:]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": heading[:_HEADER_LIMIT]}},
        _section(escape(event.summary)),
    ]
    if event.event != "resolved":
        blocks.append({"type": "section", "fields": _figures(event)})
        changes = event.evidence.get("diagnosis", {}).get("changes", [])
        lines = [f"• {escape(change)}" for change in changes] or [_NOTHING_ELSE]
        blocks.append(_section("*What changed with it*\n" + "\n".join(lines)))
    blocks.append(_section(_links(event, settings)))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _footer(event)}]})
    return {"text": f"{heading}: {event.summary}", "blocks": blocks}


def dashboard_link(event: Event, settings: Settings) -> str:
    """The overview page, filtered to the alert's traffic. The names are those of the page's address."""
    pairs = [("range", "6h"), ("tenant", event.tenant_id)]
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


def _figures(event: Event) -> list[dict[str, Any]]:
    evidence = event.evidence
    window = evidence.get("window", {})
    shown = [
        ("Cost per call", _change(evidence, "cost_expected_usd", "cost_p50_usd", "cost_ratio", "${:.3g}")),
        ("Quality", _change(evidence, "quality_expected", "quality_p50", "quality_ratio", "{:.2f}")),
        ("Evidence", f"{evidence.get('requests', 0)} calls, {evidence.get('evaluations', 0)} scores"),
        (
            "Window (UTC)",
            f"{str(window.get('start', ''))[11:16]} to {str(window.get('end', ''))[11:16]}",
        ),
        ("Rule", event.rule),
        ("Baseline", f"{evidence.get('baseline_as_of')}, of {evidence.get('baseline_of')}"),
    ]
    return [{"type": "mrkdwn", "text": f"*{label}*\n{escape(value)}"} for label, value in shown]


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
