"""The table of API keys: making, listing, rotating and revoking them.

Every change of a key is one statement that reads the newest row on the server and writes its successor, so
that no client's older view of a key can bring a revoked one back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from clickhouse_connect.driver.client import Client

from assay.contracts import api_key

Scope = Literal["write", "read", "control"]
SCOPES: Final[tuple[Scope, ...]] = ("write", "read", "control")
EVERY_TENANT: Final = "*"

_COLUMNS: Final = (
    *("key_id", "name", "secret_hash", "tenants", "scopes", "records_per_second", "burst"),
    *("created_at", "expires_at", "revoked_at", "replaces"),
)
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM api_keys FINAL"
_MOMENT: Final = "fromUnixTimestamp64Micro({moment:Int64}, 'UTC')"
# Later than the row that it takes the place of, whatever the clocks of several servers say.
_NEXT: Final = "greatest(now64(6, 'UTC'), addMicroseconds(k.updated_at, 1))"


class UnknownKeyError(LookupError):
    """There is no such key, or it is revoked already."""


@dataclass(frozen=True)
class ApiKey:
    """A key as it is on record.

    Attributes:
        tenants: whose data it may touch; None: everybody's.
        records_per_second: how fast it may send; None: as fast as it likes.
        burst: how many records it may send at once after a pause.
        expires_at: from then on it is refused; None: never.
        replaces: id of the key that it was rotated from.
    """

    key_id: str
    name: str
    secret_hash: str = field(repr=False)
    tenants: frozenset[str] | None
    scopes: frozenset[str]
    records_per_second: float | None = None
    burst: int | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaces: str = ""

    def refusal(self, now: datetime) -> str:
        """Why it is not taken any more; empty while it is."""
        if self.revoked_at is not None:
            return f"was revoked at {_shown(self.revoked_at)}"
        if self.expires_at is not None and self.expires_at <= now:
            return f"expired at {_shown(self.expires_at)}"
        return ""


def create(
    client: Client,
    *,
    name: str,
    tenants: Sequence[str],
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    records_per_second: float | None = None,
    burst: int | None = None,
) -> tuple[str, ApiKey]:
    """Make a key. Returns its text, which cannot be had again, and its record.

    Raises:
        ValueError: naming what does not fit and what would.
    """
    _check(name, tenants, scopes, records_per_second, burst)
    text, presented = api_key.generate()
    key = ApiKey(
        key_id=presented.key_id,
        name=name,
        secret_hash=presented.secret_hash,
        tenants=None if EVERY_TENANT in tenants else frozenset(tenants),
        scopes=frozenset(scopes),
        records_per_second=records_per_second,
        burst=burst,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
    )
    _insert(client, key)
    return text, key


def rotate(client: Client, key_id: str, *, overlap: timedelta) -> tuple[str, ApiKey]:
    """Make a key with the rights of another, which ends after ``overlap``. Returns text and record of the
    new one.

    Raises:
        UnknownKeyError: there is no such key, or it is revoked or expired.
        ValueError: a negative overlap.
    """
    if overlap < timedelta(0):
        raise ValueError("the overlap must be 0 or more")
    old = _find(client, key_id)
    now = datetime.now(UTC)
    if why := old.refusal(now):
        raise UnknownKeyError(f"key {key_id} {why}: make a new one with `assay keys create`")
    text, presented = api_key.generate()
    new = ApiKey(
        key_id=presented.key_id,
        name=old.name,
        secret_hash=presented.secret_hash,
        tenants=old.tenants,
        scopes=old.scopes,
        records_per_second=old.records_per_second,
        burst=old.burst,
        created_at=now,
        expires_at=old.expires_at,
        replaces=old.key_id,
    )
    # The new one first: a crash between the two leaves one key too many, not one too few.
    _insert(client, new)
    _amend(
        client,
        key_id,
        now + overlap,
        expires_at=f"least(ifNull(k.expires_at, {_MOMENT}), {_MOMENT})",
    )
    return text, new


def revoke(client: Client, key_id: str) -> ApiKey:
    """End a key now; return it as it was.

    Raises:
        UnknownKeyError: there is no such key, or it is revoked already.
    """
    key = _find(client, key_id)
    if key.revoked_at is not None:
        raise UnknownKeyError(f"key {key_id} {key.refusal(datetime.now(UTC))}")
    _amend(client, key_id, datetime.now(UTC), revoked_at=_MOMENT)
    return key


def read_all(client: Client) -> list[ApiKey]:
    """Every key, also those that ended, by the time at which they were made."""
    return [_key(row) for row in client.query(f"{_SELECT} ORDER BY created_at, key_id").result_rows]


def last_used(client: Client) -> dict[str, datetime]:
    """When each key was last used, within some minutes; keys that never were are absent."""
    rows = client.query("SELECT key_id, max(used_at) FROM api_key_uses GROUP BY key_id").result_rows
    return {key_id: _utc(used_at) for key_id, used_at in rows}


def note_uses(client: Client, uses: Mapping[str, datetime]) -> None:
    """Write down when keys were used."""
    client.insert("api_key_uses", list(uses.items()), column_names=["key_id", "used_at"])


def _check(
    name: str,
    tenants: Sequence[str],
    scopes: Sequence[str],
    records_per_second: float | None,
    burst: int | None,
) -> None:
    if not name.strip():
        raise ValueError("name: say whose key it is, for example litellm-production")
    if not tenants or not all(tenants):
        raise ValueError(f"tenants: name them, or {EVERY_TENANT} for all")
    if EVERY_TENANT in tenants and len(tenants) > 1:
        raise ValueError(f"tenants: {EVERY_TENANT} is all of them, name no other beside it")
    if not scopes or (unknown := set(scopes) - set(SCOPES)):
        wrong = f": unknown {', '.join(sorted(unknown))}" if scopes else ""
        raise ValueError(f"scopes{wrong}: choose from {', '.join(SCOPES)}")
    if records_per_second is not None and not 0 < records_per_second <= 1e9:
        raise ValueError("rate: records a second, more than 0")
    if burst is not None and (records_per_second is None or not 0 < burst < 2**32):
        raise ValueError("burst: a number of records, 1 or more, beside a rate")


def _find(client: Client, key_id: str) -> ApiKey:
    rows = client.query(
        f"{_SELECT} WHERE key_id = {{key_id:String}}", parameters={"key_id": key_id}
    ).result_rows
    if not rows:
        raise UnknownKeyError(f"there is no key {key_id!r}; `assay keys list` shows all")
    return _key(rows[0])


def _key(row: Sequence[Any]) -> ApiKey:
    key_id, name, secret_hash, tenants, scopes, rate, burst, created_at, expires_at, revoked_at, replaces = (
        row
    )
    return ApiKey(
        key_id=key_id,
        name=name,
        secret_hash=secret_hash,
        tenants=None if EVERY_TENANT in tenants else frozenset(tenants),
        scopes=frozenset(scopes),
        records_per_second=rate,
        burst=burst,
        created_at=_utc(created_at),
        expires_at=None if expires_at is None else _utc(expires_at),
        revoked_at=None if revoked_at is None else _utc(revoked_at),
        replaces=replaces,
    )


def _insert(client: Client, key: ApiKey) -> None:
    row = [getattr(key, name) for name in _COLUMNS]
    row[_COLUMNS.index("tenants")] = [EVERY_TENANT] if key.tenants is None else sorted(key.tenants)
    row[_COLUMNS.index("scopes")] = sorted(key.scopes)
    client.insert("api_keys", [row], column_names=_COLUMNS)


def _amend(client: Client, key_id: str, moment: datetime, **changed: str) -> None:
    """Write the successor of a key's newest row; ``changed`` are expressions over it and ``moment``."""
    columns = ", ".join(f"{changed.get(name, f'k.{name}')} AS {name}" for name in _COLUMNS)
    client.command(
        f"INSERT INTO api_keys ({', '.join(_COLUMNS)}, updated_at) "
        f"SELECT {columns}, {_NEXT} AS updated_at FROM api_keys AS k FINAL "
        "WHERE k.key_id = {key_id:String}",
        parameters={"key_id": key_id, "moment": int(moment.timestamp() * 1_000_000)},
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
