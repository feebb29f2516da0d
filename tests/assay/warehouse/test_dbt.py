from __future__ import annotations

from pathlib import Path

import pytest

from assay.settings import Settings
from assay.warehouse.dbt import DbtError, dbt_environment, run_dbt
from tests.support.processes import free_port


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (None, ("127.0.0.1", "18123", "False", "default", "")),
        ("http://store:9000", ("store", "9000", "False", "default", "")),
        ("http://store", ("store", "8123", "False", "default", "")),
        ("https://store", ("store", "8443", "True", "default", "")),
        ("https://us%40er:p%3Ass%2F@store:443/", ("store", "443", "True", "us@er", "p:ss/")),
    ],
)
def test_dbt_is_told_the_configured_store(url: str | None, wanted: tuple[str, ...]) -> None:
    found = dbt_environment(Settings(clickhouse_url=url, clickhouse_database="other"))
    names = ("HOST", "PORT", "SECURE", "USER", "PASSWORD")
    assert tuple(found[f"ASSAY_DBT_{name}"] for name in names) == wanted
    assert found["ASSAY_DBT_DATABASE"] == "other"
    # Nothing is reported to anybody.
    assert (found["DBT_SEND_ANONYMOUS_USAGE_STATS"], found["DO_NOT_TRACK"]) == ("false", "1")


def test_what_dbt_prints_comes_with_its_failure(tmp_path: Path) -> None:
    settings = Settings(clickhouse_url=f"http://127.0.0.1:{free_port()}", data_dir=tmp_path)
    with pytest.raises(DbtError, match=r"(?s)dbt run failed:.*vars"):
        run_dbt(settings, "run", "--vars", "no mapping", target=tmp_path)
