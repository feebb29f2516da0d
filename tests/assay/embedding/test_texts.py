"""Captured text becomes vectors in the store: each once, bounded, of the right embedder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from assay.embedding import texts
from assay.embedding.embedder import EmbedderError, Vectors
from assay.embedding.texts import PAGE, Embedded, embed, waiting
from assay.settings import Settings
from assay.warehouse.erasure import digest
from tests.support.rows import insert, span

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=3)


class Lengths:
    """Vectors that tell a text: its length, and where it begins."""

    name, version = "lengths", "1"

    def __init__(self, fail_after: int = 1_000_000) -> None:
        self.seen: list[str] = []
        self._fail_after = fail_after

    def embed(self, given: Sequence[str]) -> Vectors:
        if len(self.seen) >= self._fail_after:
            raise EmbedderError("out of order")
        self.seen += given
        return np.array([[len(text), ord(text[0]) if text else 0] for text in given], np.float32)


def capture(client: Client, number: int, *, at: datetime = LONG_AGO, text: str = "", **fields: Any) -> None:
    """So many calls with text, as the writer stores them."""
    calls = [
        span(at, trace_id=f"t{n}", span_id=f"s{n}", task_type="summarise", **fields) for n in range(number)
    ]
    insert(client, "llm_traces", *calls)
    named = ("tenant_id", "timestamp", "trace_id", "span_id", "retention_start")
    insert(
        client,
        "llm_payloads",
        *({k: c[k] for k in named} | {"input": text or f"text {n}"} for n, c in enumerate(calls)),
    )


def examples(client: Client, **complexities: float) -> None:
    """Canonical examples of task type ``summarise``."""
    rows = [
        {"task_type": "summarise", "text": text, "complexity": value} for text, value in complexities.items()
    ]
    insert(client, "canonical_examples", *rows)


def test_each_text_once_with_its_task_type(client: Client, migrated: Settings) -> None:
    capture(client, PAGE + 44)
    # Answers alone are nothing to embed.
    insert(client, "llm_payloads", {"tenant_id": "org_1", "timestamp": NOW, "trace_id": "a", "output": "x"})
    examples(client, short=1.0, longer=2.0)
    embedder, notes = Lengths(), []
    done, found = embed(client, embedder, migrated, note=lambda d, _: notes.append(d.texts))
    assert done == Embedded(texts=PAGE + 44, examples=2)
    assert (found.texts, found.examples, found.beyond) == (PAGE + 44, 2, 0)
    assert notes == [0, PAGE, PAGE + 44]
    stored = client.query(
        "SELECT trace_id, span_id, task_type, embedder, embedding, retention_start FROM llm_embeddings"
    ).result_rows
    assert sorted(stored) == sorted(
        (f"t{n}", f"s{n}", "summarise", "lengths@1", [len(f"text {n}"), ord("t")], LONG_AGO.date())
        for n in range(PAGE + 44)
    )
    again, found = embed(client, embedder, migrated)
    assert (again, found.days, found.examples) == (Embedded(), (), 0)
    assert len(embedder.seen) == PAGE + 46


def test_a_run_that_is_cut_off_goes_on(client: Client, migrated: Settings) -> None:
    capture(client, 2 * PAGE)
    with pytest.raises(EmbedderError, match="out of order"):
        embed(client, Lengths(fail_after=PAGE), migrated)
    assert client.query("SELECT count() FROM llm_embeddings").result_rows == [(PAGE,)]
    assert embed(client, Lengths(), migrated)[0].texts == PAGE
    assert client.query("SELECT count(), uniqExact(trace_id) FROM llm_embeddings").result_rows == [
        (2 * PAGE, 2 * PAGE)
    ]


def test_another_embedder_begins_anew(
    client: Client, migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is fetched at a time."""
    monkeypatch.setattr(texts, "FETCH", 2)
    capture(client, 3)
    embed(client, Lengths(), migrated)
    newer = Lengths()
    newer.version = "2"
    assert embed(client, newer, migrated)[0].texts == 3
    assert client.query(
        "SELECT embedder, count() FROM llm_embeddings GROUP BY embedder ORDER BY embedder"
    ).result_rows == [("lengths@1", 3), ("lengths@2", 3)]


def test_of_a_day_a_sample_that_does_not_hang_on_when_one_looks(client: Client, migrated: Settings) -> None:
    capture(client, 100)
    few = migrated.model_copy(update={"embedding_daily_texts": 30})
    done, found = embed(client, Lengths(), few)
    assert (done.texts, found.beyond) == (30, 70)
    assert waiting(client, "lengths@1", 30).texts == 0
    # The smallest hashes, whatever arrived first.
    assert client.query(
        "SELECT count() FROM llm_embeddings WHERE sipHash64(tenant_id, trace_id, span_id) IN ("
        "SELECT sipHash64(tenant_id, trace_id, span_id) AS h FROM llm_payloads ORDER BY h LIMIT 30)"
    ).result_rows == [(30,)]


def test_today_gets_its_share_hour_by_hour(client: Client) -> None:
    noon = NOW.replace(hour=11, minute=59)
    capture(client, 100, at=NOW.replace(hour=0, minute=0))
    found = waiting(client, "lengths@1", 80, noon)
    assert (found.texts, found.beyond) == (40, 60)
    assert waiting(client, "lengths@1", 80, noon + timedelta(days=1)).texts == 80


def test_beginning_and_end_of_a_long_text(client: Client, migrated: Settings) -> None:
    capture(client, 1, text="ä" * 500 + "x" * 9_000 + "ß" * 500)
    embedder = Lengths()
    embed(client, embedder, migrated.model_copy(update={"embedding_max_characters": 1_000}))
    assert embedder.seen == ["ä" * 500 + "\n" + "ß" * 499]


def test_nothing_of_a_tenant_that_was_erased_meanwhile(client: Client, migrated: Settings) -> None:
    capture(client, 2)
    capture(client, 2, tenant_id="org_gone")
    insert(
        client,
        "erasures",
        {"erasure_id": "e", "event": "finished", "occurred_at": NOW, "tenant_sha256": digest("org_gone")},
    )
    assert embed(client, Lengths(), migrated)[0] == Embedded(texts=2, dropped=2)
    assert client.query("SELECT DISTINCT tenant_id FROM llm_embeddings").result_rows == [("org_1",)]


def test_an_embedder_that_is_wrong_is_named(client: Client, migrated: Settings) -> None:
    capture(client, 1)
    for vectors, problem in (
        ([[1.0], [2.0]], r"1 texts gave an array of shape \(2, 1\)"),
        ([[float("nan")]], "no finite numbers"),
        ([1.0], r"shape \(1,\)"),
    ):
        wrong = SimpleNamespace(
            name="wrong", version="1", embed=lambda _, found=vectors: np.array(found, np.float32)
        )
        with pytest.raises(EmbedderError, match=f"^wrong@1: .*{problem}"):
            embed(client, wrong, migrated)
    assert client.query("SELECT count() FROM llm_embeddings").result_rows == [(0,)]
