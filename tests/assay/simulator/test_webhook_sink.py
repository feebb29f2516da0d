"""The chat channel's stand-in, through Slack's own client over loopback."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from slack_sdk.webhook import WebhookClient

from tests.support.processes import answers, free_port, python, running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    found = f"http://127.0.0.1:{port}"
    argv = python("assay.simulator.webhook_sink", "--port", str(port))
    with running(argv, ready=answers(f"{found}/messages"), log=tmp_path_factory.mktemp("sink") / "log.txt"):
        yield found


def test_messages_are_kept_and_shown(url: str) -> None:
    client = WebhookClient(f"{url}/services/T0/B0/x")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*cost* <b>up</b>"}}]
    answer = client.send(text="Page: acme", blocks=blocks)
    assert (answer.status_code, answer.body) == (200, "ok")
    newest = httpx.get(f"{url}/messages", trust_env=False).json()["messages"][-1]
    assert newest["path"] == "/services/T0/B0/x"
    assert newest["message"]["text"] == "Page: acme"
    page = httpx.get(url, trust_env=False).text
    assert "Page: acme" in page
    assert "*cost* &lt;b&gt;up&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("body", "answer"), [(b"{", "invalid_payload"), (b"[]", "invalid_payload"), (b"{}", "no_text")]
)
def test_what_slack_refuses_is_refused(url: str, body: bytes, answer: str) -> None:
    before = len(httpx.get(f"{url}/messages", trust_env=False).json()["messages"])
    found = httpx.post(f"{url}/services/T0/B0/x", content=body, trust_env=False)
    assert (found.status_code, found.text) == (400, answer)
    assert len(httpx.get(f"{url}/messages", trust_env=False).json()["messages"]) == before
