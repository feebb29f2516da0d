"""The shipped embedder, a service's, and how one is chosen."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.embedding.embedder import EmbedderError, choose, identity
from assay.embedding.local import LocalEmbedder
from assay.embedding.service import ServiceEmbedder
from assay.settings import Settings, SettingsError
from tests.support.embeddings_api import EmbeddingsApi, answer, embeddings_api, lengths
from tests.support.processes import free_port

# Three requests of a kind, in other words each.
KINDS = (
    (
        "Write a SQL query that returns the ten customers with the highest revenue last quarter.",
        "I need a Postgres statement joining orders and refunds per month.",
        "Create a table for invoices with a foreign key to customers.",
    ),
    (
        "Prove that the square root of two is irrational.",
        "Find all integer solutions of x^2 - 7y^2 = 1 and justify.",
        "Let G be a finite group of prime order; prove that it is cyclic.",
    ),
    (
        "Suggest a dinner with chickpeas, spinach and rice.",
        "Give me a vegan pancake recipe.",
        "What can replace eggs in a sponge cake?",
    ),
)


class Own:
    """An embedder as users write one."""

    name, version = "own", "7"

    def embed(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.ones((len(texts), 2), np.float32)


own = Own()


@pytest.fixture
def api() -> Iterator[EmbeddingsApi]:
    with embeddings_api() as found:
        yield found


def test_the_shipped_one_tells_kinds_of_tasks_apart() -> None:
    vectors = LocalEmbedder().embed([text for kind in KINDS for text in kind])
    assert (vectors.shape, vectors.dtype) == ((9, 256), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alike = vectors @ vectors.T
    same = np.kron(np.eye(3, dtype=bool), np.ones((3, 3), bool))
    assert np.mean(alike[same & ~np.eye(9, dtype=bool)]) > np.mean(alike[~same]) + 0.1
    np.fill_diagonal(alike, -1)
    assert (np.argmax(alike, axis=1) // 3 == np.arange(9) // 3).mean() > 0.7


def test_a_text_does_not_hang_on_those_beside_it() -> None:
    """Neither on a longer one, to which it is padded; and nothing is not a text."""
    embedder = LocalEmbedder()
    alone = embedder.embed([KINDS[0][0]])
    together = embedder.embed(["", KINDS[0][0], "word " * 4000])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)
    assert not together[0].any()
    assert embedder.embed([]).shape == (0, 256)


def test_a_service_gets_texts_and_gives_vectors_in_their_order(api: EmbeddingsApi) -> None:
    embedder = ServiceEmbedder(api.url, "text-embedding-3-small", key="k-1")
    texts = ["x" * (n + 1) for n in range(40)]
    np.testing.assert_array_equal(embedder.embed([*texts, ""]), np.array(lengths([*texts, " "]), np.float32))
    assert [(r["path"], len(r["input"])) for r in api.requests] == [
        ("/v1/embeddings", 32),
        ("/v1/embeddings", 9),
    ]
    assert {r["model"] for r in api.requests} == {"text-embedding-3-small"}
    assert {h["authorization"] for h in api.headers} == {"Bearer k-1"}
    # The same name at another host may be another model.
    assert identity(embedder) == f"text-embedding-3-small@{api.url.split('/')[2]}"


def test_what_passes_is_tried_again(api: EmbeddingsApi) -> None:
    api.refusals += [429, 503]
    embedder = ServiceEmbedder(api.url, "m", patience_s=0.01)
    assert len(embedder.embed(["text"])) == 1
    assert len(api.requests) == 3
    api.refusals += [500] * 6
    with pytest.raises(EmbedderError, match=r"scripted 500.*, 6 times"):
        embedder.embed(["text"])


def test_what_is_wrong_is_named(api: EmbeddingsApi) -> None:
    embedder = ServiceEmbedder(api.url, "m", patience_s=0.01)
    api.refusals += [400]
    with pytest.raises(EmbedderError, match=r"400 .*scripted 400.*ASSAY_EMBEDDING_MAX_CHARACTERS"):
        embedder.embed(["text"])
    assert len(api.requests) == 1
    for script, said in (
        (lambda _: {"data": "none"}, "not an answer of the embeddings protocol"),
        (lambda texts: answer(texts, lengths(texts)[1:]), "1 vectors for 2 texts"),
        (lambda texts: answer(texts, [[1.0], [1.0, 2.0]]), "different lengths"),
    ):
        api.script = script
        with pytest.raises(EmbedderError, match=said):
            embedder.embed(["one", "two"])
    with pytest.raises(EmbedderError, match=r"ConnectError.*, 6 times"):
        ServiceEmbedder(f"http://127.0.0.1:{free_port()}/v1", "m", patience_s=0.01).embed(["text"])


def test_the_settings_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose(Settings()), LocalEmbedder)
    service = choose(Settings(embedding_url="https://user:secret@host.example/v1", embedding_model="e5"))
    assert identity(service) == "e5@host.example"
    (tmp_path / "my_embedder.py").write_text("from tests.assay.embedding.own import own\nnothing = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "tests.assay.embedding.own", sys.modules[__name__])
    chosen = choose(Settings(embedder="my_embedder:own", embedding_url="https://host.example"))
    assert identity(chosen) == "own@7"
    for wrong, said in (
        ("my_embedder:nothing", "it lacks name, version, embed"),
        ("my_embedder:absent", "absent"),
        ("no_such_module:own", "no_such_module"),
        ("not a path", "ASSAY_EMBEDDER='not a path'"),
    ):
        with pytest.raises(SettingsError, match=said):
            choose(Settings(embedder=wrong))
