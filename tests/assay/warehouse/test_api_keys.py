"""The table of API keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.contracts import api_key
from assay.settings import Settings
from assay.warehouse import api_keys
from assay.warehouse.api_keys import ApiKey, UnknownKeyError
from assay.warehouse.client import connect


@pytest.fixture
def client(migrated: Settings) -> Iterator[Client]:
    with connect(migrated) as found:
        yield found


def only(client: Client, key_id: str) -> ApiKey:
    (found,) = (key for key in api_keys.read_all(client) if key.key_id == key_id)
    return found


def test_a_key_is_kept_without_its_text(client: Client) -> None:
    expires_at = datetime.now(UTC).replace(microsecond=654_321) + timedelta(days=90)
    text, made = api_keys.create(
        client,
        name="litellm",
        tenants=["org_2", "org_1"],
        scopes=["write", "read"],
        expires_at=expires_at,
        records_per_second=0.5,
        burst=7,
    )
    assert only(client, made.key_id) == made
    assert made.tenants == {"org_1", "org_2"}
    assert made.expires_at == expires_at
    assert api_key.present(text) == (made.key_id, made.secret_hash)
    assert text[20:] not in str(client.query("SELECT * FROM api_keys").result_rows)
    assert made.secret_hash not in repr(made)
    assert api_keys.create(client, name="all", tenants=["*"], scopes=["read"])[1].tenants is None


def test_rotation_gives_the_old_key_an_end_and_the_new_one_its_rights(client: Client) -> None:
    _, old = api_keys.create(
        client, name="kong", tenants=["org_1"], scopes=["write"], records_per_second=10, burst=20
    )
    before = datetime.now(UTC)
    text, new = api_keys.rotate(client, old.key_id, overlap=timedelta(hours=1))
    ended = only(client, old.key_id)
    assert ended.expires_at is not None
    assert abs(ended.expires_at - before - timedelta(hours=1)) < timedelta(minutes=1)
    assert ended.refusal(before) == ""
    assert ended.refusal(before + timedelta(hours=2)).startswith("expired at")
    assert (new.tenants, new.scopes, new.records_per_second, new.burst) == (old.tenants, old.scopes, 10, 20)
    assert (new.replaces, new.expires_at) == (old.key_id, None)
    assert api_key.present(text).key_id == new.key_id
    # A second rotation never gives it more time.
    api_keys.rotate(client, old.key_id, overlap=timedelta(days=9))
    assert only(client, old.key_id).expires_at == ended.expires_at


def test_a_revoked_key_stays_revoked(client: Client) -> None:
    _, key = api_keys.create(client, name="x", tenants=["*"], scopes=["write"])
    api_keys.note_uses(client, {key.key_id: datetime(2024, 1, 15, 10, tzinfo=UTC)})
    api_keys.revoke(client, key.key_id)
    # Someone who still sees the key as it was before writes it once more.
    api_keys._amend(client, key.key_id, datetime.now(UTC), expires_at="k.expires_at")
    api_keys.note_uses(client, {key.key_id: datetime(2024, 1, 15, 11, tzinfo=UTC)})
    assert only(client, key.key_id).refusal(datetime.now(UTC)).startswith("was revoked at 20")
    assert api_keys.last_used(client) == {key.key_id: datetime(2024, 1, 15, 11, tzinfo=UTC)}
    for refused in (
        lambda: api_keys.revoke(client, key.key_id),
        lambda: api_keys.rotate(client, key.key_id, overlap=timedelta(0)),
    ):
        with pytest.raises(UnknownKeyError, match="revoked"):
            refused()


def test_what_does_not_fit_is_named(client: Client) -> None:
    good: dict[str, Any] = {"name": "x", "tenants": ["a"], "scopes": ["write"]}
    for bad, message in (
        ({"name": " "}, "name"),
        ({"tenants": []}, "tenants"),
        ({"tenants": [""]}, "tenants"),
        ({"tenants": ["*", "a"]}, "tenants"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["write", "admin"]}, "unknown admin: choose from write, read, control"),
        ({"records_per_second": 0}, "rate"),
        ({"burst": 5}, "burst"),
        ({"records_per_second": 5, "burst": 0}, "burst"),
    ):
        with pytest.raises(ValueError, match=message):
            api_keys.create(client, **{**good, **bad})
    with pytest.raises(ValueError, match="overlap"):
        api_keys.rotate(client, "x", overlap=timedelta(seconds=-1))
    with pytest.raises(UnknownKeyError, match="no key 'x'"):
        api_keys.revoke(client, "x")
    assert api_keys.read_all(client) == []
