"""Rollups while rows arrive: repeated, spread over partitions, at once, late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.days import call, insert

GRAINS = ("1min", "1h", "1d")
CUBES = ("tenant_id", "model", "prompt_template_version")
SOURCES = {
    **{grain: f"llm_kpi_{grain}" for grain in GRAINS},
    **{
        f"{grain} by {cube}": f"llm_kpi_cubes WHERE grain = '{grain}' AND dimension = '{cube}'"
        for grain in GRAINS
        for cube in CUBES
    },
}
# Four months, so that a block reaches into several partitions of every table.
STEP = timedelta(hours=6)
START = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(days=120)


def block(name: str, rows: int = 400, step: timedelta = STEP) -> list[dict[str, Any]]:
    return [
        call(n, trace_id=f"{name}-{n}", timestamp=START + step * n, billed=True, tenant_id=f"org_{n % 3}")
        for n in range(rows)
    ]


def store(settings: Settings, rows: list[dict[str, Any]], token: str) -> None:
    """As the writer stores a batch: a repetition has the same token."""
    insert(
        settings,
        "llm_traces",
        rows,
        insert_deduplication_token=token,
        deduplicate_blocks_in_dependent_materialized_views=1,
    )


def sums(settings: Settings) -> dict[str, tuple[Any, ...]]:
    """Calls, tokens, cost and counted latencies: of the raw rows and of every rollup."""
    rolled = (
        "SELECT sum(request_count), sum(prompt_tokens), sum(cost_usd), "
        "arraySum(mapValues(sumMap(latency_histogram))) FROM "
    )
    raw = (
        "SELECT toInt64(count()), toInt64(sum(prompt_tokens)), sum(cost_usd), toInt64(count(latency_ms)) "
        "FROM llm_traces FINAL"
    )
    with connect(settings) as client:
        return {
            "raw": client.query(raw).result_rows[0],
            **{name: client.query(rolled + source).result_rows[0] for name, source in SOURCES.items()},
        }


@pytest.mark.parametrize("step", [STEP, timedelta(0)], ids=["many-partitions", "one-minute"])
def test_a_repeated_block_counts_once_at_every_grain(built: Settings, step: timedelta) -> None:
    rows = block("a", step=step)
    for _ in range(3):
        store(built, rows, "a")
        found = sums(built)
        assert set(found.values()) == {found["raw"]}
        assert found["raw"][0] == len(rows)


def test_blocks_that_roll_up_to_the_same_row_all_count(built: Settings) -> None:
    """What a rollup writes for another block may be the same to the byte; the token tells them apart."""
    for name in ("a", "b", "c"):
        store(built, block(name, rows=60, step=timedelta(0)), name)
    found = sums(built)
    assert found["raw"][0] == 180
    assert set(found.values()) == {found["raw"]}


def test_writers_that_store_the_same_blocks_at_once_count_each_once(built: Settings) -> None:
    batches = {f"b{n}": block(f"b{n}", rows=100) for n in range(6)}
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(store, built, rows, name) for name, rows in [*batches.items()] * 3]:
            done.result()
    found = sums(built)
    assert found["raw"][0] == 600
    assert set(found.values()) == {found["raw"]}


def test_a_correction_in_one_block_with_what_it_corrects(built: Settings) -> None:
    rows = block("a", rows=50)
    store(built, rows, "a")
    changed = [r | {"prompt_tokens": 7, "latency_ms": None} for r in rows[:20]]
    store(built, [*(r | {"sign": -1} for r in rows[:20]), *changed], "correction")
    found = sums(built)
    assert found["raw"][0] == 50
    assert set(found.values()) == {found["raw"]}


def test_history_that_is_loaded_late_stays_at_minute_grain(built: Settings) -> None:
    """Its retention starts when it is loaded; without that day it starts when the call was made."""
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1000)
    insert(built, "llm_traces", [call(1, timestamp=old, trace_id="loaded")])
    insert(built, "llm_traces", [call(2, timestamp=old, trace_id="expired", retention_start=old.date())])
    with connect(built) as client:
        client.command("OPTIMIZE TABLE llm_kpi_1min FINAL")
        client.command("OPTIMIZE TABLE llm_kpi_cubes FINAL")
        calls = {
            name: client.query(f"SELECT sum(request_count) FROM {source}").result_rows[0][0]
            for name, source in SOURCES.items()
        }
    assert calls == {name: 1 if name.startswith("1min") else 2 for name in SOURCES}


def test_a_short_range_is_found_by_the_key(built: Settings) -> None:
    keys = {"1min": "toStartOfHour(period_start)", "1h": "toDate(period_start)"}
    with connect(built) as client:
        for rollup, key in ((f"llm_{kind}_{g}", k) for kind in ("kpi", "quality") for g, k in keys.items()):
            client.command(f"INSERT INTO {rollup} (period_start) VALUES (now())")
            plan = client.query(
                f"EXPLAIN indexes = 1 SELECT count() FROM {rollup} WHERE period_start >= now() - 3600"
            ).result_rows
            lines = [line.strip() for (line,) in plan]
            assert lines[lines.index("PrimaryKey") + 2] == key, rollup


def test_parts_of_the_running_month_become_one_where_a_range_of_weeks_is_read(built: Settings) -> None:
    with connect(built) as client:
        merged = {
            table: int(seconds or 0)
            for table, seconds in client.query(
                "SELECT name, extract(engine_full, 'min_age_to_force_merge_seconds = (\\d+)') "
                "FROM system.tables WHERE database = currentDatabase() "
                "AND match(name, '^llm_(kpi|quality)_') AND engine != 'MaterializedView'"
            ).result_rows
        }
        codecs = dict(
            client.query(
                "SELECT table, any(compression_codec) FROM system.columns WHERE database = currentDatabase() "
                "AND endsWith(name, '_histogram') GROUP BY table HAVING uniqExact(compression_codec) = 1"
            ).result_rows
        )
    assert merged == {
        **{f"llm_{kind}_1d": 3600 for kind in ("kpi", "quality")},
        **{f"llm_{kind}_1h": 6 * 3600 for kind in ("kpi", "quality")},
        **{f"llm_{kind}_1min": 0 for kind in ("kpi", "quality")},
        "llm_kpi_cubes": 6 * 3600,
    }
    assert {table: codecs[table] for table in ("llm_kpi_1d", "llm_kpi_1min")} == {
        "llm_kpi_1d": "CODEC(T64)",
        "llm_kpi_1min": "CODEC(T64, ZSTD(3))",
    }


def test_a_cube_has_one_row_per_period_and_value_and_the_percentiles_of_its_series(built: Settings) -> None:
    store(built, block("a", rows=300, step=timedelta(minutes=7)), "a")
    with connect(built) as client:
        for cube in CUBES:
            others = [name for name in CUBES if name != cube]
            figures = (
                "sum(request_count), sum(cost_usd), sum(cached_tokens), sum(cacheable_prompt_tokens), "
                "sumMap(cost_histogram), sumMap(latency_histogram), sumMap(velocity_histogram)"
            )
            by = f"GROUP BY period_start, cohort, {cube} ORDER BY ALL"
            cubed = f"FROM llm_kpi_cubes FINAL WHERE grain = '1h' AND dimension = '{cube}'"
            assert (
                client.query(f"SELECT period_start, cohort, {cube}, {figures} {cubed} {by}").result_rows
                == client.query(
                    f"SELECT period_start, cohort, {cube}, {figures} FROM llm_kpi_1h {by}"
                ).result_rows
            )
            rows, named = client.query(
                f"SELECT count() - uniqExact(period_start, cohort, {cube}), "
                f"countIf({others[0]} != '' OR {others[1]} != '') {cubed}"
            ).result_rows[0]
            assert (rows, named) == (0, 0)
