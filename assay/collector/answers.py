"""What the service answers: JSON of the contracts, OTLP's own messages, and what to do about each failure."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from assay.collector import otlp
from assay.collector.envelope import Reject
from assay.contracts.http import ErrorAnswer, Rejected

RETRY_AFTER_S: Final = 2

_json: Final = msgspec.json.Encoder()


def told(rejects: list[Reject]) -> list[Rejected]:
    """The rejects as a sender is told of them: without its own payload."""
    return [Rejected(index=reject.index, reason=reject.reason, field=reject.field) for reject in rejects]


def summary(rejects: list[Reject], shown: int = 5) -> str:
    """The first rejects in one line, for OTLP's partial success."""
    lines = [f"span {reject.index}: {reject.reason}" for reject in rejects[:shown]]
    if len(rejects) > shown:
        lines.append(f"and {len(rejects) - shown} more; see ingest_rejects")
    return "; ".join(lines)


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """A body of ``assay.contracts.http``."""
    return Response(_json.encode(body), status, headers, media_type="application/json")


def failure(status: int, error: str, fix: str, headers: dict[str, str] | None = None) -> Response:
    """What went wrong, and what the sender can do about it."""
    return answer(status, ErrorAnswer(error=error, fix=fix), headers)


def busy(error: str) -> Response:
    """503: the same request will do later."""
    fix = f"nothing was accepted: send the same request again in {RETRY_AFTER_S} seconds"
    return failure(503, error, fix, {"Retry-After": str(RETRY_AFTER_S)})


# google.rpc.Code: UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE; else INVALID_ARGUMENT.
# Exporters retry 429 and 503.
_RPC_CODES: Final = {401: 16, 403: 7, 429: 8, 503: 14}


def otlp_failure(
    content_type: str, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """A ``google.rpc.Status``."""
    body = otlp.failure(content_type, _RPC_CODES.get(status, 3), message)
    return Response(body, status, headers, media_type=content_type)
