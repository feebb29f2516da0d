"""Complexity of task types from the vectors in the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.embedding import estimates
from assay.embedding.estimates import DAYS, examples_changed, refresh
from tests.support.rows import insert

TODAY = datetime.now(UTC)
NAME = "e@1"


def call(number: int, vector: list[float], **fields: Any) -> dict[str, Any]:
    return {
        "tenant_id": "org_1",
        "timestamp": TODAY,
        "trace_id": f"t{number}",
        "span_id": "s",
        "task_type": "summarise",
        "embedder": NAME,
        "embedding": vector,
        "retention_start": TODAY.date(),
        **fields,
    }


def examples(client: Client) -> None:
    """An easy one to the right, a hard one above."""
    for text, complexity, vector in (("easy", 1.0, [1.0, 0.0]), ("hard", 9.0, [0.0, 1.0])):
        insert(client, "canonical_examples", {"task_type": text, "text": text, "complexity": complexity})
        client.command(
            f"INSERT INTO example_embeddings (embedder, text_hash, embedding) "
            f"SELECT '{NAME}', cityHash64('{text}'), {vector}"
        )


def test_what_counts(client: Client) -> None:
    """Calls of this embedder, of the last four weeks, each once; an example's newest complexity."""
    examples(client)
    insert(client, "canonical_examples", {"task_type": "easy", "text": "easy", "complexity": 3.0})
    counted = [call(1, [1, 0]), call(1, [1, 0]), call(2, [0, 1])]
    old = TODAY.date() - timedelta(days=DAYS)
    insert(
        client,
        "llm_embeddings",
        *counted,
        call(3, [0, 1], embedder="other@1"),
        call(4, [0, 1], retention_start=old),
        call(5, [0, 1, 1]),
        call(6, [0, 1], task_type=""),
        call(7, [-1, -1]),
    )
    (found,) = refresh(client, NAME)
    assert (found.task_type, found.calls, found.examples) == ("summarise", 2, 2)
    assert found.complexity == pytest.approx((3 + 9) / 2)
    assert found.complexity_iqr == pytest.approx(3)
    assert found.nearest_distance == pytest.approx(0, abs=1e-6)
    assert client.query(
        "SELECT task_type, embedder, complexity, calls FROM task_complexity_estimates"
    ).result_rows == [("summarise", NAME, found.complexity, 2)]
    assert refresh(client, "other@1") == []
    assert examples_changed(client, timedelta(hours=1))
    assert not examples_changed(client, timedelta(0))


def test_of_many_calls_a_fair_sample(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rare task type is not crowded out by the frequent one."""
    examples(client)
    monkeypatch.setattr(estimates, "_CALLS", estimates._CALLS.replace(f"({estimates.SAMPLE})", "(50)"))
    insert(
        client,
        "llm_embeddings",
        *(call(n, [1, 0] if n % 2 else [0, 1]) for n in range(400)),
        call(400, [0, 1], task_type="rare"),
    )
    found = {row.task_type: row for row in refresh(client, NAME)}
    assert (found["summarise"].calls, found["rare"].calls) == (50, 1)
    assert 3 < found["summarise"].complexity < 7


def test_nothing_to_compare_with_or_to_compare(client: Client) -> None:
    insert(client, "llm_embeddings", call(1, [1, 0]))
    assert refresh(client, NAME) == []
    assert not examples_changed(client, timedelta(hours=1))
    client.command("TRUNCATE TABLE llm_embeddings")
    examples(client)
    assert refresh(client, NAME) == []
    assert client.query("SELECT count() FROM task_complexity_estimates").result_rows == [(0,)]
