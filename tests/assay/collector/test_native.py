from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.native import MAX_REJECTS, parse
from assay.contracts.records import RECORDS, Span
from tests.assay.collector.samples import NOW, span

KINDS = ("span", "evaluation", "feedback", "outcome", "label", "deployment")


def dump(*records: object) -> bytes:
    return json.dumps(list(records)).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(dump(span(), span(span_id="2")), id="array"),
        pytest.param(b"\xef\xbb\xbf \n" + dump(span(), span(span_id="2")), id="array after byte order mark"),
        pytest.param(b"\n".join([json.dumps(span()).encode()] * 2), id="ndjson"),
        pytest.param(b"\r\n\r\n".join([json.dumps(span()).encode()] * 2) + b"\r\n", id="ndjson, Windows"),
    ],
)
def test_all_shapes_hold_two_spans(body: bytes) -> None:
    records, rejects = parse("span", body, now=NOW)
    assert [type(record) for record in records] == [Span, Span]
    assert rejects == []


def test_one_object_over_several_lines() -> None:
    records, rejects = parse("span", json.dumps(span(), indent=2).encode(), now=NOW)
    assert len(records) == 1
    assert rejects == []


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (span(bogus=1), "bogus", "unknown field `bogus`: a span has trace_id"),
        (span(tenant_idd="x"), "tenant_idd", "did you mean `tenant_id`?"),
        (span(tokens={"input_tokens": 1}), "tokens.input_tokens", "did you mean `tokens.prompt`?"),
        (span(prompt_tokens=4), "prompt_tokens", "did you mean `tokens.prompt`?"),
        (
            span(tokens={"prompt": -1, "completion": 1}),
            "tokens.prompt",
            "`tokens.prompt`: expected `int` >= 0",
        ),
        (span(tokens={"prompt": 2**40, "completion": 1}), "tokens.prompt", "<= 4294967295"),
        (span(tokens={"prompt": 1.5, "completion": 1}), "tokens.prompt", "got `float`"),
        (
            span(tokens={"prompt": 1, "completion": 1, "cached": 5}),
            "tokens.cached",
            "exceed `tokens.prompt` = 1",
        ),
        (span(tokens={"prompt": 9, "completion": 1, "reasoning": 5}), "tokens.reasoning", "exceeds"),
        ({k: v for k, v in span().items() if k != "model"}, "model", "`model` is missing"),
        (span(timestamp="2024-01-15T09:23:47"), "timestamp", "needs a UTC offset"),
        (span(timestamp="yesterday"), "timestamp", "RFC 3339"),
        (span(timestamp="2023-12-01T00:00:00Z"), "timestamp", "more than 7 days ago; load history"),
        (span(timestamp="2024-01-15T10:30:00Z"), "timestamp", "in the future"),
        (span(cost_usd=-1), "cost_usd", "0 or more"),
        (span(cost_usd="NaN"), "cost_usd", "finite"),
        (span(latency_ms=1, ttft_ms=2), "ttft_ms", "exceeds `latency_ms`"),
        (span(status="fine"), "status", "`status`: invalid enum value 'fine'"),
        (span(trace_id=""), "trace_id", "length >= 1"),
        (span(trace_id=7), "trace_id", "expected `str`, got `int`"),
        (span(quality={"evaluator": "x", "score": 2}), "quality.score", "<= 1.0"),
        (span(units={"image": "-3"}), "units.image", "0 or more"),
        (span(cost_usd="12,5"), "cost_usd", '`cost_usd`: "12,5" is not a decimal number; write 12.5'),
        (span(cost_usd=[1]), "cost_usd", "has to be a decimal number, for example 12.5, got `array`"),
        (span(units={"image": "3", "page": "1,5"}), "units.page", '"1,5" is not a decimal number; write 1.5'),
        (7, "", "a record has to be a JSON object, got `int`"),
        ([1], "", "a record has to be a JSON object, got `array`"),
    ],
)
def test_bad_record_is_named_and_its_neighbours_are_kept(bad: object, field: str, reason: str) -> None:
    records, rejects = parse("span", dump(span(span_id="1"), bad, span(span_id="3")), now=NOW)
    assert [record.span_id for record in records] == ["1", "3"]  # type: ignore[attr-defined]
    (reject,) = rejects
    assert (reject.index, reject.field) == (1, field)
    assert reason in reject.reason
    if isinstance(bad, dict):
        assert str(bad.get("tenant_id", "")).encode() in reject.payload


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1 200.50", "1200.50"),
        ("-$5", "-5"),
        ("49,90 EUR", "49.90"),
        # A thousand, or one?
        ("1,000", ""),
        ("1,234,567", ""),
        ("a lot", ""),
        ("", ""),
    ],
)
def test_a_number_that_is_none_is_shown_with_how_to_write_it(value: str, plain: str) -> None:
    outcome = {"event": "sale", "trace_id": "t", "timestamp": "2024-01-15T09:23:47Z", "value": value}
    (reject,) = parse("outcome", dump(outcome), now=NOW).rejects
    how = plain or "digits with a decimal point and nothing else, for example 12.5"
    assert (reject.field, reject.reason) == (
        "value",
        f'`value`: "{value}" is not a decimal number; write {how}',
    )


def test_a_number_that_is_none_in_broken_json_is_still_named() -> None:
    (reject,) = parse("outcome", b'{"event": "sale", "value": "12,5", broken', now=NOW).rejects
    assert reject.field == "value"
    assert reject.reason.startswith("`value` is not a decimal number; write digits")


GOOD = json.dumps(span()).encode()


@pytest.mark.parametrize(
    ("body", "kept", "reason"),
    [
        (b"[" + GOOD + b', {"x": "\xff"}, ' + GOOD + b"]", 2, "unknown field `x`"),
        (b"[" + GOOD + b', {"trace_id": "\xff"}]', 1, "not UTF-8: byte 0xff"),
        (b"[" + GOOD + b', {"trace_id": tru}, ' + GOOD + b"]", 2, "not JSON"),
        (b"[" + GOOD + b", " + GOOD[:-9], 1, "not JSON"),
        (b"[" + GOOD + b"] trailing", 1, "not JSON"),
        (
            b"[" + GOOD + b", " + b"[" * 100_000 + b"]" * 100_000 + b", " + GOOD + b"]",
            2,
            "has to be a JSON object",
        ),
        (
            b"[" + GOOD + b', {"model":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001 + b"," + GOOD + b"]",
            2,
            "got `object`",
        ),
        (b"\n".join([GOOD, b"{bad", GOOD, b"\xff\xfe"]), 2, "not JSON"),
        (b"trace_id,span_id\na,b\n", 0, "not JSON"),
        (GOOD.replace(b"1247", b"1" * 400), 0, "tokens.prompt"),
        (GOOD.replace(b"1247", b"1e999"), 0, "tokens.prompt"),
    ],
)
def test_broken_json_costs_only_itself(body: bytes, kept: int, reason: str) -> None:
    records, rejects = parse("span", body, now=NOW)
    assert len(records) == kept
    assert reason in rejects[0].reason
    assert all(len(reject.payload) < 20_000 for reject in rejects)


def test_payload_of_a_reject_holds_no_text() -> None:
    secret = "my daughter is called Ann"
    bad = span(input=secret, output=[secret], prompt=secret, attributes={"note": secret}, status=secret[:9])
    _, (reject,) = parse("span", dump(bad), now=NOW)
    assert b"Ann" not in reject.payload
    assert b"org_42" in reject.payload
    _, rejects = parse("span", dump(bad)[:-40] + secret.encode() + b"\xff", now=NOW)
    assert not any(b"Ann" in reject.payload for reject in rejects)


def test_a_flood_of_rejects_is_cut() -> None:
    records, rejects = parse("span", b"[" + b"1," * (MAX_REJECTS + 500) + b"1]", now=NOW)
    assert records == []
    assert len(rejects) == MAX_REJECTS + 1
    assert "was not read" in rejects[-1].reason


def test_late_record_within_a_week_is_accepted() -> None:
    records, rejects = parse("span", dump(span()), now=NOW + timedelta(days=6, hours=22))
    assert len(records) == 1
    assert rejects == []


@given(kind=st.sampled_from(KINDS), body=st.binary(max_size=400))
def test_any_bytes_are_parsed_or_rejected(kind: str, body: bytes) -> None:
    records, rejects = parse(kind, body, now=NOW)
    assert records or rejects or not body.strip(b" \t\r\n[]\xef\xbb\xbf")


# JSON that is nearly a span: every value may be replaced by another.
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just("2024-01-15T09:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from([*Span.__struct_fields__, "prompt", "completion", "cached", "bogus"])


@given(
    changes=st.lists(st.dictionaries(_NAMES, _VALUES, max_size=3), min_size=1, max_size=4),
    tokens=st.dictionaries(
        st.sampled_from(["prompt", "completion", "cached", "reasoning", "x"]), _VALUES, max_size=3
    ),
)
def test_every_record_is_accounted_for(changes: list[dict[str, object]], tokens: dict[str, object]) -> None:
    bodies = [span(tokens={"prompt": 5, "completion": 5, **tokens}) | change for change in changes]
    records, rejects = parse("span", json.dumps(bodies).encode(), now=NOW)
    assert len(records) + len(rejects) == len(bodies)
    assert len({reject.index for reject in rejects}) == len(rejects)
    assert all(reject.reason for reject in rejects)


def test_every_route_has_a_kind() -> None:
    assert set(KINDS) <= set(RECORDS)
