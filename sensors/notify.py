"""Deliver alerts to Slack-format webhooks. What was delivered is an event of the alert, so that repeating is
safe.

A message is sent at least once: between Slack's answer and the note of it a crash may repeat one. One that
fails stays pending, is noted on the alert as ``delivery_failed`` (``alerts_current.delivery_error``), and is
tried at the next tick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from slack_sdk.http_retry import (
    ConnectionErrorRetryHandler,
    HttpRequest,
    HttpResponse,
    RateLimitErrorRetryHandler,
    RetryState,
)
from slack_sdk.http_retry.builtin_handlers import ServerErrorRetryHandler
from slack_sdk.webhook import WebhookClient

from assay.settings import Settings
from sensors import alerts
from sensors.alerts import Event
from sensors.messages import escape, message

# Older news is no news: after a long outage the channel should not be flooded with what is over.
_GIVE_UP = timedelta(hours=24)
# A tick must not hang on the chat service; the next one tries again.
_TIMEOUT_S = 10
_PATIENCE_S = 5


class DeliveryError(RuntimeError):
    """At least one message could not be delivered and stays pending; the message says why. The others
    arrived.
    """


class _PatientRetry(RateLimitErrorRetryHandler):
    """Waits as long as the service asks for, where that is short; a longer wait is left to the next tick."""

    def _can_retry(
        self,
        *,
        state: RetryState,  # noqa: ARG002
        request: HttpRequest,  # noqa: ARG002
        response: HttpResponse | None = None,
        error: Exception | None = None,  # noqa: ARG002
    ) -> bool:
        if response is None or response.status_code != 429:
            return False
        after = next((v for k, v in response.headers.items() if k.lower() == "retry-after"), ["1"])
        return after[0].isdigit() and int(after[0]) <= _PATIENCE_S


def deliver(client: Client, settings: Settings, now: datetime) -> int:
    """Post every opening, upgrade and resolution that was not delivered yet; how many arrived.

    Experiments go to their own webhook. Without a webhook alerts stay in the store, which is no error.

    Raises:
        DeliveryError: some message did not arrive; all that could be delivered were.
    """
    webhooks = {
        cohort: _webhook(url)
        for cohort, url in (
            ("production", settings.slack_webhook_url),
            ("experiment", settings.experiment_webhook_url),
        )
        if url
    }
    if not webhooks:
        return 0
    delivered = 0
    failures: dict[str, str] = {}
    for event_id, event in pending(client, now):
        webhook = webhooks.get(event.cohort)
        # A service that does not answer would make every further message wait for its timeout.
        if webhook is None or event.cohort in failures:
            continue
        error, is_down = _post(webhook, event, settings)
        if not error:
            alerts.write(client, [_noted(event_id, event, "delivered", now, event.summary)])
            delivered += 1
            continue
        alerts.write(client, [_noted(event_id, event, "delivery_failed", now, error)])
        failures[event.cohort if is_down else event_id] = error
    if failures:
        raise DeliveryError(f"{delivered} delivered, then: " + "; ".join(dict.fromkeys(failures.values())))
    return delivered


def say(settings: Settings, text: str) -> None:
    """Post a line about the system itself, which is no alert on traffic, to the production channel.

    Without a webhook nobody is told, which is no error.

    Raises:
        DeliveryError: it did not arrive.
    """
    if not settings.slack_webhook_url:
        return
    if error := _send(_webhook(settings.slack_webhook_url), {"text": escape(text)})[0]:
        raise DeliveryError(f"the webhook of production {error}")


class Pending(NamedTuple):
    """A stored event that a channel should hear of, under the id that it was stored with."""

    event_id: str
    event: Event


def pending(client: Client, now: datetime) -> list[Pending]:
    """Events of the last day that a channel should hear of and has not, oldest first."""
    answer = client.query(
        "SELECT event_id, alert_id, event, occurred_at, tenant_id, level, rule, scope, model, "
        "prompt_template_version, cohort, summary, evidence FROM alerts "
        "WHERE event IN ('opened', 'upgraded', 'resolved') "
        "AND occurred_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        "AND event_id NOT IN (SELECT JSONExtractString(evidence, 'delivers') FROM alerts "
        "WHERE event = 'delivered' AND occurred_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC')) "
        "ORDER BY occurred_at, alert_id",
        parameters={"since": int((now - _GIVE_UP).timestamp() * 1000)},
        tz_mode="aware",
    )
    return [
        Pending(row.pop("event_id"), Event(**{**row, "evidence": json.loads(row["evidence"])}))
        for row in answer.named_results()
    ]


def _webhook(url: str) -> WebhookClient:
    retries = [_PatientRetry(), ConnectionErrorRetryHandler(), ServerErrorRetryHandler()]
    return WebhookClient(url, timeout=_TIMEOUT_S, retry_handlers=retries)


def _post(webhook: WebhookClient, event: Event, settings: Settings) -> tuple[str, bool]:
    """What went wrong, empty if nothing; and whether it would go wrong for any other message, too."""
    error, is_down = _send(webhook, message(event, settings))
    return f"the webhook of {event.cohort} {error}" if error else "", is_down


def _send(webhook: WebhookClient, body: Mapping[str, Any]) -> tuple[str, bool]:
    try:
        answer = webhook.send(text=body["text"], blocks=body.get("blocks"))
    except (OSError, HTTPException) as error:
        return f"cannot be reached: {error}", True
    if answer.status_code == 200:
        return "", False
    # 400 is about this message; everything else (403, 404, 410, 429, 5xx) about the channel or the service.
    return f"answered {answer.status_code} {answer.body[:200]}", answer.status_code != 400


def _noted(event_id: str, event: Event, kind: str, now: datetime, summary: str) -> Event:
    # The same failure is noted once for each message.
    what = summary if kind == "delivery_failed" else ""
    return replace(
        event,
        event=kind,
        occurred_at=now,
        summary=summary,
        evidence={"delivers": event_id, "event": event.event, "channel": event.cohort},
        discriminator=f"{event_id}{what}",
    )
