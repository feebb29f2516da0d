"""Stand-ins for the outside, where ``assay up --demo`` finds none configured."""

from __future__ import annotations

from pydantic import SecretStr

from assay.settings import Settings


def stand_ins(settings: Settings) -> tuple[Settings, list[str]]:
    """Settings that point at stand-ins for whatever is not configured, and the names of those needed."""
    update: dict[str, object] = {}
    needed = []
    if settings.anthropic_api_key is None:
        needed.append("judge-double")
        update["anthropic_base_url"] = f"http://{settings.host}:{settings.judge_double_port}"
        # The client wants one; the stand-in takes any.
        update["anthropic_api_key"] = SecretStr("simulated")
    if settings.slack_webhook_url is None:
        needed.append("webhook-sink")
        sink = f"http://{settings.host}:{settings.webhook_sink_port}"
        update["slack_webhook_url"] = f"{sink}/services/T0DEMO/B0DEMO/simulated"
    return settings.model_copy(update=update), needed
