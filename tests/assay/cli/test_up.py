"""``assay up`` as a person uses it: the stores alone, so that it is quick; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from assay.cli import ports, services
from assay.cli.stand_ins import stand_ins
from assay.cli.up import plan
from assay.settings import Settings
from tests.support.processes import free_port, wait_for


def environment(folder: Path) -> dict[str, str]:
    names = ("CLICKHOUSE", "VALKEY", "COLLECTOR", "DASHBOARD", "DAGSTER", "JUDGE_DOUBLE", "WEBHOOK_SINK")
    return {
        **os.environ,
        "ASSAY_DATA_DIR": str(folder),
        **{f"ASSAY_{name}_PORT": str(free_port()) for name in names},
    }


def assay(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assay.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=120,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_status_and_a_stop_that_leaves_nothing(tmp_path: Path, number: int) -> None:
    env = environment(tmp_path / "data")
    argv = [sys.executable, "-m", "assay.cli.main", "up", "--only", "clickhouse,valkey"]
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen(argv, env=env, stdout=out, stderr=out) as process:
        try:
            wait_for(lambda: "Up after" in log.read_text() or process.poll() is not None, "assay up", 90)
            status = assay("status", "--json", env=env)
            found = json.loads(status.stdout)
            second = assay("up", env=env)
            family = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.send_signal(number)
            process.wait(60)
    assert status.returncode == 0
    assert found["healthy"]
    assert [s["name"] for s in found["services"]] == ["supervisor", "clickhouse", "valkey"]
    assert second.returncode == 1
    assert "in use by another `assay up`" in " ".join(second.stderr.split())
    assert process.returncode == 0
    assert len(family) >= 2
    assert not any(child.is_running() for child in family)
    assert assay("status", "--json", env=env).returncode == 1


def test_a_taken_port_names_the_setting(tmp_path: Path) -> None:
    env = environment(tmp_path)
    with socket.create_server(("127.0.0.1", int(env["ASSAY_VALKEY_PORT"]))):
        found = assay("up", "--only", "clickhouse,valkey", env=env)
    assert found.returncode == 1
    message = " ".join(found.stderr.split())
    assert f"port {env['ASSAY_VALKEY_PORT']} on 127.0.0.1 is in use, valkey needs it" in message
    assert "ASSAY_VALKEY_PORT" in message


def test_an_unknown_service_is_refused_with_the_choices(tmp_path: Path) -> None:
    found = assay("up", "--only", "clickhose", env=environment(tmp_path))
    assert found.returncode == 2
    assert "clickhose" in found.stderr


def test_every_service_that_listens_has_its_port_checked(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    listening = {service.name for service in services.everything(settings) if service.url}
    assert listening == set(ports.SETTING_OF)


def test_stand_ins_replace_only_what_is_not_configured(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(
        update={"anthropic_api_key": None, "slack_webhook_url": None}
    )
    replaced, names = stand_ins(settings)
    assert names == ["judge-double", "webhook-sink"]
    assert replaced.anthropic_base_url == f"http://127.0.0.1:{settings.judge_double_port}"
    assert replaced.slack_webhook_url is not None
    assert replaced.slack_webhook_url.startswith(f"http://127.0.0.1:{settings.webhook_sink_port}/")
    own = settings.model_copy(
        update={"anthropic_api_key": SecretStr("k"), "slack_webhook_url": "https://hooks.example/x"}
    )
    assert stand_ins(own) == (own, [])


def test_only_what_was_chosen_is_planned_and_sees_the_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, valkey_port=12345)
    found = plan(settings, ["valkey", "dagster"], [], demo=False)
    assert [s.name for s in found.all] == ["valkey", "dagster-code", "dagster-webserver", "dagster-daemon"]
    assert {s.env["ASSAY_VALKEY_PORT"] for s in found.all} == {"12345"}
    outside = Settings(
        data_dir=tmp_path, redis_url="redis://elsewhere:6379/0", clickhouse_url="http://elsewhere"
    )
    assert plan(outside, services.CHOICES, [], demo=False).stores == []
    assert [s.name for s in plan(settings, ["collector"], ["judge-double"], demo=True).all] == [
        *("judge-double", "collector", "traffic"),
    ]
