"""The OpenAPI description of the service, built from the contracts."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import msgspec

from assay.contracts.http import ErrorAnswer, IngestAnswer, ReadyAnswer
from assay.contracts.records import RECORDS

_REFERENCE: Final = "#/components/schemas/{name}"
_NATIVE: Final = {
    "/v1/spans": ("span", "Calls of models"),
    "/v1/evaluations": ("evaluation", "Scores of traces by evaluators"),
    "/v1/feedback": ("feedback", "What end users thought of answers"),
    "/v1/outcomes": ("outcome", "Business events that traces led to"),
    "/v1/labels": ("label", "Human ratings of traces"),
    "/v1/deployments": ("deployment", "Changes that were rolled out"),
}
_GATEWAYS: Final = {
    "/v1/litellm": "Calls of models as LiteLLM's `generic_api` callback logs them (StandardLoggingPayload)",
    "/v1/kong": "Calls of models as Kong's `http-log` plugin logs them, with AI statistics",
}
_ENCODINGS: Final = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"enum": ["identity", "gzip", "deflate", "zstd"]},
}
_WITH_USAGE: Final = "SpanWithUsage"
_TENANT: Final = {
    "name": "X-Assay-Tenant",
    "in": "header",
    "description": "Tenant of the spans that do not name one",
    "schema": {"type": "string"},
}


# Either header; or none, where the collector is bound to loopback.
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `assay keys create`"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Assay-Key"},
}
_KEY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"key": []}, {}]


@lru_cache(maxsize=1)
def document() -> bytes:
    """The description as JSON."""
    return msgspec.json.encode(description())


def description() -> dict[str, Any]:
    """OpenAPI 3.1; every route that the service has, and no other."""
    kinds = [RECORDS[kind] for kind, _ in _NATIVE.values()]
    _, components = msgspec.json.schema_components(
        [*kinds, IngestAnswer, ErrorAnswer, ReadyAnswer], ref_template=_REFERENCE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Assay collector",
            "version": version("assay"),
            "description": "Telemetry in. An answer of 200 means that the accepted records are in the queue.",
        },
        "paths": {
            **{
                path: {"post": {**_native(kind, what), "security": _KEY}}
                for path, (kind, what) in _NATIVE.items()
            },
            **{path: {"post": {**_log(what), "security": _KEY}} for path, what in _GATEWAYS.items()},
            "/v1/traces": {"post": {**_traces(), "security": _KEY}},
            "/healthz": {"get": _plain("The process runs", "text/plain")},
            "/readyz": {
                "get": {
                    "summary": "Whether records can be accepted, and what an acknowledgement is worth",
                    "responses": {
                        "200": _json("It is ready", "ReadyAnswer"),
                        "503": _json("It is not", "ReadyAnswer"),
                    },
                }
            },
            "/metrics": {"get": {**_plain("Prometheus metrics", "text/plain"), "security": _KEY}},
            "/openapi.json": {"get": _plain("This description", "application/json")},
        },
        "components": {
            "schemas": components | {_WITH_USAGE: _with_usage(components["Span"])},
            "securitySchemes": _SCHEMES,
        },
    }


def _native(kind: str, what: str) -> dict[str, Any]:
    record: dict[str, Any] = {"$ref": _REFERENCE.format(name=RECORDS[kind].__name__)}
    if kind == "span":
        record = {"oneOf": [record, {"$ref": _REFERENCE.format(name=_WITH_USAGE)}]}
    return _post(what, record, [_ENCODINGS])


def _log(what: str) -> dict[str, Any]:
    return _post(what, {"type": "object", "description": "A log entry of the gateway"}, [_ENCODINGS, _TENANT])


def _with_usage(span: dict[str, Any]) -> dict[str, Any]:
    """A span with its provider's usage block in place of ``tokens``."""
    properties = {name: schema for name, schema in span["properties"].items() if name != "tokens"}
    block = {
        "type": "object",
        "description": "The usage block as the provider's API gave it: `usage` of Anthropic, OpenAI (chat "
        "completions, responses) or Bedrock (Converse), `usageMetadata` of Gemini",
    }
    return span | {
        "title": _WITH_USAGE,
        "description": "A span whose tokens are given as the provider's usage block",
        "properties": properties | {"usage": block},
        "required": ["usage" if name == "tokens" else name for name in span["required"]],
    }


def _post(what: str, record: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "summary": what,
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"oneOf": [{"type": "array", "items": record}, record]}},
                "application/x-ndjson": {"schema": record},
            },
        },
        "responses": {
            "200": _json("Accepted and rejected records, each rejected one with its reason", "IngestAnswer"),
            **_failures("ErrorAnswer", "application/json"),
        },
    }


def _traces() -> dict[str, Any]:
    message = {"type": "string", "format": "binary", "description": "ExportTraceServiceRequest"}
    answer = {
        "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object"}},
    }
    return {
        "summary": "OTLP/HTTP traces; rejected spans are a partial success",
        "parameters": [_ENCODINGS, _TENANT],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-protobuf": {"schema": message},
                "application/json": {"schema": {"type": "object"}},
            },
        },
        "responses": {
            "200": {"description": "ExportTraceServiceResponse", "content": answer},
            **{
                status: {"description": f"{text}; google.rpc.Status", "content": answer}
                for status, text in _FAILURES.items()
            },
        },
    }


_FAILURES: Final = {
    "400": "The body cannot be read",
    "401": "An API key is required, or the one that was sent is not known, revoked or expired",
    "403": "The API key is not for this",
    "408": "The body did not arrive in time",
    "413": "The body is too large",
    "415": "The encoding or type is not known",
    "429": "The API key sends faster than it may; nothing was accepted, retry after Retry-After seconds",
    "503": "The queue is full or away, or too much is under way; retry after Retry-After seconds",
}


def _failures(name: str, _media: str) -> dict[str, Any]:
    return {status: _json(text, name) for status, text in _FAILURES.items()}


def _json(text: str, name: str) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name=name)}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _plain(text: str, media: str) -> dict[str, Any]:
    return {"summary": text, "responses": {"200": {"description": text, "content": {media: {}}}}}
