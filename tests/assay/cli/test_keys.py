"""``assay keys`` on the real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from assay.cli.main import app
from assay.contracts import api_key
from assay.settings import Settings, load_settings


class Command:
    """``assay keys …`` with the settings of a test."""

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments])

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def keys(migrated: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", migrated.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", migrated.clickhouse_database)
    load_settings.cache_clear()
    yield Command()
    load_settings.cache_clear()


def test_the_key_alone_is_on_standard_output(keys: Command) -> None:
    done = keys("create", "--name", "litellm", "--tenant", "org_1", "--tenant", "org_2", "--expires", "90d")
    assert done.exit_code == 0
    presented = api_key.present(done.stdout.strip())
    assert "write for org_1, org_2" in done.stderr
    (found,) = keys.json("list")["keys"]
    assert found["key_id"] == presented.key_id
    assert found["tenants"] == ["org_1", "org_2"]
    assert found["scopes"] == ["write"]
    ends = datetime.fromisoformat(found["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    assert found["last_used_at"] is found["revoked_at"] is found["records_per_second"] is None
    secret = done.stdout.strip()[20:]
    for shown in (keys("list"), keys("list", "--json"), keys("list", "--all")):
        assert presented.key_id in shown.output
        assert secret not in shown.output
        assert presented.secret_hash not in shown.output


def test_rotate_and_revoke(keys: Command) -> None:
    old = keys.json(
        "create", "--name", "kong", "--tenant", "*", "--scope", "read", "--rate", "100", "--burst", "9"
    )
    new = keys.json("rotate", old["key_id"], "--overlap", "2h")
    assert api_key.present(new["key"]).key_id == new["key_id"] != old["key_id"]
    same = ("name", "tenants", "scopes", "records_per_second", "burst")
    assert [new[name] for name in same] == ["kong", ["*"], ["read"], 100, 9] == [old[name] for name in same]
    assert new["replaces"] == old["key_id"]
    assert "is revoked" in keys("revoke", new["key_id"]).stdout
    assert [key["key_id"] for key in keys.json("list")["keys"]] == [old["key_id"]]
    assert [key["key_id"] for key in keys.json("list", "--all")["keys"]] == [old["key_id"], new["key_id"]]
    again = keys("revoke", new["key_id"])
    assert again.exit_code == 1
    assert "was revoked at" in again.stderr
    ended = keys("rotate", old["key_id"], "--overlap", "0s")
    assert ended.exit_code == 0
    assert "expired at" in keys("rotate", old["key_id"]).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "--name", "x", "--tenant", "a", "--scope", "admin"), "choose from write, read, control"),
        (("create", "--name", "x", "--tenant", "a", "--expires", "soon"), "for example 90d, 12h or 30m"),
        (("create", "--name", "x", "--tenant", "a", "--burst", "5"), "beside a rate"),
        (("create", "--name", "x"), "--tenant"),
        (("rotate", "nobody"), "there is no key 'nobody'; `assay keys list` shows all"),
    ],
)
def test_what_does_not_fit_is_named(keys: Command, arguments: tuple[str, ...], message: str) -> None:
    done = keys(*arguments)
    assert done.exit_code != 0
    assert message in done.stderr
    assert "No keys; make one" in keys("list").stdout
