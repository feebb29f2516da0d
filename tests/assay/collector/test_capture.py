from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.capture import Policies, apply, read_policies, share
from assay.collector.redact import PATTERNS, Pattern, PatternRedactor, luhn
from assay.contracts.records import Feedback, Span
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.assay.collector.samples import span

# Put together here, so that no scanner takes this file for a leak.
FOUND = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
    "aws_key": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws_secret": "aws_secret_access_key = " + "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00",
    "assay_key": "assay_" + "a1B2c3D4e5F6_" + "a1B2c3D" * 7,
    "anthropic_key": "sk-ant-" + "api03-abcdefghijklmnop",
    "openai_key": "sk-proj-" + "abcdefghijklmnopqrst",
    "github_token": "ghp_" + "a1B2" * 9,
    "gitlab_token": "glpat-" + "abcdefghij0123456789",
    "slack_token": "xoxb-" + "1234567890-abcdef",
    "slack_webhook": "https://hooks.slack.com/services/" + "T00000000/B00000000/XXXXXXXXXXXX",
    "google_key": "AIza" + "SyA-1234567890abcdefghijklmnopqrstu",
    "google_token": "ya29." + "a0AfH6SMBabcdefghijklmn",
    "stripe_key": "sk_live_" + "abcdefghijklmnop1234",
    "huggingface_token": "hf_" + "a1B2c3" * 6,
    "npm_token": "npm_" + "a1B2" * 9,
    "pypi_token": "pypi-AgEI" + "cHlwaS5vcmc" * 6,
    "authorization": "Authorization: Bearer " + "abcdef0123456789abcdef",
    "url_password": "postgres://ann:hunter2x@db.internal/llm",
    "secret": "password: correct-horse",
    "email": "ann.lee+x@mail.example.co.uk",
    "card": "4111 1111 1111 1111",
    "phone": "+49 (30) 1234 5678",
}


@pytest.mark.parametrize(("name", "text"), FOUND.items())
def test_each_pattern_finds_its_own(name: str, text: str) -> None:
    redacted = PatternRedactor().redact(f"before {text} after")
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert f"[redacted:{name}]" in redacted
    secret = text.split()[-1].rsplit("/")[-1]
    assert secret not in redacted or name == "url_password"
    assert "hunter2x" not in redacted


def test_every_pattern_is_tested() -> None:
    assert {pattern.name for pattern in PATTERNS} == set(FOUND)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_hint_is_in_whatever_its_pattern_finds(pattern: Pattern) -> None:
    text = FOUND[pattern.name]
    if pattern.expression.search(text):
        assert re.search(pattern.hint, text)


@pytest.mark.parametrize(
    "text",
    [
        "the task-force met on 2024-01-15 at 10:00",
        "order 4111111111111112 has a wrong check digit",
        "prompt tokens: 1247, cost 0.00471 USD, 1705310627123 ms",
        "https://example.org/path?query=1",
        "chatcmpl-9fGh12345678901234567890",
        "call 12 or 13",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert PatternRedactor().redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "1 " * 100_000,
        "a@" * 100_000,
        "a.b-" * 50_000,
        "-----BEGIN " * 2000,
        "eyJ" * 60_000,
        "a://" * 50_000,
    ],
)
def test_long_text_takes_linear_time(text: str) -> None:
    # A quadratic pattern would run into the suite's timeout here.
    PatternRedactor().redact(text)


@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = PatternRedactor()
    once = redactor.redact(text)
    assert redactor.redact(once) == once


def test_luhn() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")


def one(**changes: object) -> Span:
    return msgspec.convert(span(**changes), Span)


TEXT = {"input": "who is ann@example.org", "output": "a person", "context": ["doc +49 30 1234 5678"]}


def test_none_is_the_default_and_drops_every_text() -> None:
    made = one(
        **TEXT, attributes={"llm.prompt": "who", "retries": "2", "prompt.length": "17", "long": "x" * 300}
    )
    apply([made], Policies())
    assert (made.input, made.output, made.context) == (None, None, None)
    assert made.attributes == {"retries": "2", "prompt.length": "17"}


def test_full_keeps_and_redacts() -> None:
    made = one(**TEXT, attributes={"note": "card 4111111111111111"})
    apply([made], Policies({"org_42": "full"}))
    assert made.input == "who is [redacted:email]"
    assert made.output == "a person"
    assert made.context == ["doc [redacted:phone]"]
    assert made.attributes == {"note": "card [redacted:card]"}


def test_sampled_is_decided_by_the_trace_and_nested() -> None:
    policies = [Policies({"org_42": "sampled"}, sample_rate=rate) for rate in (0.1, 0.5)]
    ids = [f"trace-{number}" for number in range(4000)]
    small, large = ({i for i in ids if policy.keeps("org_42", i)} for policy in policies)
    assert small < large
    assert 300 < len(small) < 500
    assert 1850 < len(large) < 2150
    assert share("trace-1") == share("trace-1")


def test_comment_of_feedback_is_redacted() -> None:
    made = msgspec.convert(
        {"trace_id": "t", "value": 1, "timestamp": "2024-01-15T09:00:00Z", "comment": "write to a@b.example"},
        Feedback,
    )
    apply([made], Policies())
    assert made.comment == "write to [redacted:email]"


def test_own_redactor() -> None:
    class Upper:
        def redact(self, text: str) -> str:
            return text.upper()

    made = one(input="quiet")
    apply([made], Policies({"org_42": "full"}), Upper())
    assert made.input == "QUIET"


def test_policies_are_read_from_the_store(migrated: Settings) -> None:
    with connect(migrated) as client:
        client.insert(
            "tenants",
            [["a", "none"], ["b", "sampled"], ["c", "full"], ["c2", "full"]],
            column_names=["tenant_id", "capture"],
        )
        client.insert("tenants", [["c2", "none"]], column_names=["tenant_id", "capture"])
        policies = read_policies(client, sample_rate=1.0)
    assert [tenant for tenant in ("a", "b", "c", "c2", "d") if policies.captures(tenant)] == ["b", "c"]
    assert policies.keeps("b", "any")
