"""Embeddings from a service that speaks OpenAI's protocol (OpenAI, vLLM, Ollama, LiteLLM, …)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from assay.embedding.embedder import EmbedderError, Vectors

# OpenAI takes 300,000 tokens in a request: 32 texts of 6,000 characters stay below that in any script.
_BATCH: Final = 32
_ATTEMPTS: Final = 6
_SHOWN: Final = 300
# Too many requests, or the service's own trouble: what it refuses for now.
_PASSING: Final = (408, 409, 429, 500, 502, 503, 504, 529)


class _PassingError(Exception):
    """May go through when tried again."""


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


class ServiceEmbedder:
    """A client of ``POST {url}/embeddings``.

    Args:
        url: base URL, with the version where there is one: ``https://api.openai.com/v1``.
        model: as the service calls it.
        key: sent as a bearer token.
        patience_s: longest wait between two of six attempts.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, patience_s: float = 20) -> None:
        self.name = model
        # The same name may be another model elsewhere.
        self.version = urlsplit(url).netloc.rpartition("@")[2]
        self._url = f"{url.rstrip('/')}/embeddings"
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._patience_s = patience_s

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors as the service gives them, shape (n, d)."""
        with httpx.Client(headers=self._headers, timeout=60) as client:
            parts = [
                self._request(client, texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)
            ]
        if len({part.shape[1] for part in parts}) > 1:
            raise EmbedderError(f"{self._url}: {self.name} answered with vectors of different lengths")
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def _request(self, client: httpx.Client, texts: Sequence[str]) -> Vectors:
        # Not one of the known services takes an empty text.
        body = {"model": self.name, "input": [text or " " for text in texts], "encoding_format": "float"}
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(_PassingError),
                wait=wait_random_exponential(0.5, max=self._patience_s),
                stop=stop_after_attempt(_ATTEMPTS),
                reraise=True,
            ):
                with attempt:
                    return self._vectors(self._post(client, body), len(texts))
        except _PassingError as error:
            raise EmbedderError(f"{self._url}: {error}, {_ATTEMPTS} times") from error
        raise AssertionError("an attempt returns or raises")

    def _post(self, client: httpx.Client, body: dict[str, Any]) -> bytes:
        try:
            answer = client.post(self._url, json=body)
        except httpx.TransportError as error:
            raise _PassingError(f"{type(error).__name__}: {error}") from error
        if answer.is_success:
            return answer.content
        said = f"{answer.status_code} {answer.reason_phrase}: {answer.text[:_SHOWN]}"
        if answer.status_code in _PASSING:
            raise _PassingError(said)
        raise EmbedderError(
            f"{self._url}: {said} (ASSAY_EMBEDDING_MODEL is {self.name!r}; see also ASSAY_EMBEDDING_API_KEY "
            "and ASSAY_EMBEDDING_MAX_CHARACTERS)"
        )

    def _vectors(self, content: bytes, expected: int) -> Vectors:
        try:
            items = msgspec.json.decode(content, type=_Answer).data
        except msgspec.DecodeError as error:
            raise EmbedderError(f"{self._url}: not an answer of the embeddings protocol: {error}") from error
        if sorted(item.index for item in items) != list(range(expected)):
            raise EmbedderError(f"{self._url}: {len(items)} vectors for {expected} texts")
        rows = [item.embedding for item in sorted(items, key=lambda item: item.index)]
        if len({len(row) for row in rows}) != 1:
            raise EmbedderError(f"{self._url}: {self.name} answered with vectors of different lengths")
        return np.array(rows, np.float32)
