"""Constrained field types that several records share."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

# Longer ids are not ids: the longest in the field (W3C trace ids, UUIDs, provider request ids) are shorter.
Id = Annotated[str, Meta(min_length=1, max_length=256)]
# Providers' ids of responses have up to 60 characters; gateways wrap theirs around them (LiteLLM: 250).
MAX_RESPONSE_ID = 512
ResponseId = Annotated[str, Meta(max_length=MAX_RESPONSE_ID)]
# Dimensions are stored with a dictionary per part, so they have to stay short and few.
Dimension = Annotated[str, Meta(max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(max_length=4_000_000)]

# The store keeps tokens as UInt32. The largest context windows sold are about 10 million tokens.
Tokens32 = Annotated[int, Meta(ge=0, le=4_294_967_295)]
Milliseconds = Annotated[float, Meta(ge=0, le=86_400_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1)]

Timestamp = Annotated[datetime, Meta(tz=True, description="RFC 3339 with a UTC offset")]
# Checked for sign and size by the records: msgspec bounds do not apply to Decimal.
Usd = Annotated[
    Decimal,
    Meta(
        description="US dollars, decimal, not negative, up to 12 decimal places kept",
        extra_json_schema={"minimum": 0},
    ),
]
Count = Annotated[Decimal, Meta(extra_json_schema={"minimum": 0})]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]

MAX_USD = Decimal("1e15")


def checked_usd(value: Decimal | None, field: str) -> Decimal | None:
    """Return ``value`` unless it is not a finite, not negative amount.

    Raises:
        ValueError: naming ``field``.
    """
    if value is not None and not (value.is_finite() and 0 <= value <= MAX_USD):
        raise ValueError(f"`{field}` must be a finite amount in US dollars, 0 or more, got {value}")
    return value
