"""Whether anything that a sender can send breaks a parser: mutated requests, none of which may go unhandled.

Prints one JSON object. A case is a valid body of one source with some of it changed, cut, doubled or
replaced, or bytes that never were one. It is handled when it ends in records, rejects or the refusal of the
request::

    python -m benchmarks.fuzz --cases 100000
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import zstandard
from google.protobuf import json_format
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.collector import kong, litellm, native, otlp, otlp_json
from assay.collector.body import RequestError, decompress
from assay.collector.envelope import Envelope
from assay.collector.gateway import map_entries
from assay.collector.spans import map_spans
from assay.contracts.records import RECORDS, Record
from benchmarks.writer import spans
from tests.assay.collector import samples
from tests.support.record_examples import EXAMPLES
from tests.support.span_bodies import otlp_body

LIMIT = 1 << 20

# What breaks parsers: edges of types, and what is no number, no text or no end.
_TOKENS = [
    *(b"", b"null", b"true", b"-1", b"0", b"1e999", b"-1e999", b"1.5", b"NaN", b"18446744073709551616"),
    *(
        b'"x"',
        b'""',
        b"[]",
        b"{}",
        b"[" * 2000,
        b'{"a":' * 500,
        b"\xff\xfe",
        b"\x00",
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
    ),
    *(b'"2024-13-99T99:99:99Z"', b'"0001-01-01T00:00:00Z"', b'"9999-12-31T23:59:59+14:00"', b"9" * 400),
    *(b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\n", b",", b"}", b"]", b'"'),
]


@dataclass(frozen=True)
class Parser:
    """One way in. ``run`` returns how many records and rejects came of a body."""

    name: str
    valid: list[bytes]
    run: Callable[[bytes], tuple[int, int]]


@dataclass
class Tally:
    """What became of the cases of one parser."""

    outcomes: Counter[str] = field(default_factory=Counter)
    unhandled: dict[str, str] = field(default_factory=dict)


def _native(kind: str) -> Parser:
    def run(body: bytes) -> tuple[int, int]:
        parsed = native.parse(kind, body, now=samples.NOW)
        return _packed(kind, parsed.records), len(parsed.rejects)

    one = samples.span() if kind == "span" else EXAMPLES[kind]
    many = [one, one | {"attributes": {}} if kind == "span" else one]
    bodies = [json.dumps(one), json.dumps(many), "\n".join(json.dumps(each) for each in many)]
    return Parser(f"native {kind}", [body.encode() for body in bodies], run)


def _otlp(name: str, valid: bytes, decode: Callable[[bytes], object]) -> Parser:
    def run(body: bytes) -> tuple[int, int]:
        mapped = map_spans(decode(body), wants_text=lambda _: True, now=samples.NOW)  # type: ignore[arg-type]
        return _packed("span", mapped.records), len(mapped.rejects)

    return Parser(name, [valid], run)


def _gateway(name: str, entry: dict[str, object], read: object) -> Parser:
    def run(body: bytes) -> tuple[int, int]:
        mapped = map_entries(body, read, wants_text=lambda _: True, now=samples.NOW)  # type: ignore[arg-type]
        return _packed("span", mapped.records), len(mapped.rejects)

    return Parser(name, [json.dumps(entry).encode(), json.dumps([entry, entry]).encode()], run)


def _encoding(name: str, compress: Callable[[bytes], bytes]) -> Parser:
    body = json.dumps([samples.span()] * 5).encode()

    def run(packed: bytes) -> tuple[int, int]:
        return len(decompress(packed, name, limit=LIMIT)), 0

    # A bomb: a thousand times as large as it looks.
    return Parser(f"body {name}", [compress(body), compress(bytes(LIMIT * 2))], run)


def _otlp_json(body: bytes) -> bytes:
    """The same request in JSON, where ids are hexadecimal and not base64."""
    request = json_format.MessageToDict(ExportTraceServiceRequest.FromString(body))
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in {"traceId", "spanId", "parentSpanId"} & span.keys():
                    span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(request).encode()


def _packed(kind: str, records: list[Record]) -> int:
    """What was accepted has to survive the way to the writer, too."""
    return len(Envelope.of(kind, "fuzz", records).decode())


def parsers() -> list[Parser]:
    """Every way in."""
    made = spans(3, seed=1)
    for span in made:
        span.timestamp = samples.NOW - timedelta(minutes=1)
    return [
        *(_native(kind) for kind in RECORDS),
        _otlp("otlp protobuf", otlp_body(made), otlp.decode_protobuf),
        _otlp("otlp json", _otlp_json(otlp_body(made)), otlp_json.decode_json),
        _gateway("litellm", samples.litellm_payload(), litellm.read),
        _gateway("kong", samples.kong_entry(), kong.read),
        _encoding("gzip", gzip.compress),
        _encoding("deflate", zlib.compress),
        _encoding("zstd", zstandard.compress),
    ]


@st.composite
def bodies(draw: st.DrawFn, valid: list[bytes]) -> bytes:
    """A valid body after up to five changes, or arbitrary bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    body = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 1, 2, 8, 40, 400])))
        match draw(st.sampled_from(["value", "value", "byte", "token", "cut", "double", "end"])):
            case "value" if (colon := body.find(b":", start)) > 0:
                # A whole value of JSON, so that what follows is still JSON.
                stop = min(
                    (at for at in (body.find(mark, colon) for mark in b",}]") if at > 0), default=len(body)
                )
                body[colon + 1 : stop] = draw(st.sampled_from(_TOKENS))
            case "byte" if start < len(body):
                body[start] = draw(st.integers(0, 255))
            case "token":
                body[start:end] = draw(st.sampled_from(_TOKENS))
            case "cut":
                del body[start:end]
            case "double":
                body[start:start] = body[start:end]
            case _:
                del body[start:]
    return bytes(body)


def fuzz(parser: Parser, cases: int, number: int) -> Tally:
    """Run cases through one parser; an exception that is not a refusal is kept with its body."""
    tally = Tally()

    @seed(number)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies(parser.valid))
    def run(body: bytes) -> None:
        try:
            records, rejects = parser.run(body)
        except RequestError as error:
            tally.outcomes[f"refused {error.status}"] += 1
        except Exception as error:  # noqa: BLE001 - any other exception is what this looks for
            tally.outcomes["unhandled"] += 1
            tally.unhandled.setdefault(repr(error)[:300], body[:2000].hex())
        else:
            tally.outcomes[
                "accepted" if records and not rejects else "in part" if records else "rejected"
            ] += 1

    run()
    return tally


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cases", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", action="store_true", help="no progress on standard error")
    chosen = options.parse_args()
    warnings.simplefilter("error")
    every = parsers()
    each = -(-chosen.cases // len(every))
    began = time.monotonic()
    tallies = {}
    for parser in every:
        tallies[parser.name] = fuzz(parser, each, chosen.seed)
        if not chosen.json:
            sys.stderr.write(f"{parser.name}: {dict(tallies[parser.name].outcomes)}\n")
    print(
        json.dumps(
            {
                "cases": sum(sum(tally.outcomes.values()) for tally in tallies.values()),
                "unhandled": sum(tally.outcomes["unhandled"] for tally in tallies.values()),
                "seconds": round(time.monotonic() - began, 1),
                "parsers": {name: dict(tally.outcomes) for name, tally in tallies.items()},
                "failures": {name: tally.unhandled for name, tally in tallies.items() if tally.unhandled},
            }
        )
    )
    sys.exit(1 if any(tally.unhandled for tally in tallies.values()) else 0)


if __name__ == "__main__":
    main()
