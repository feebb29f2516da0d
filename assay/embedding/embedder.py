"""What an embedder is, and which one the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assay.settings import Settings, SettingsError

Vectors = NDArray[np.float32]


class EmbedderError(RuntimeError):
    """Texts could not be embedded; the message says by what, why, and what to do."""


class Embedder(Protocol):
    """Turns texts into vectors whose directions are alike where the texts are about the like."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the vectors of the same text do."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, in their order.

        Returns:
            Shape (n, d); d is the same in every call. A row of zeros: nothing in the text is known.

        Raises:
            EmbedderError: it cannot.
        """
        ...


def identity(embedder: Embedder) -> str:
    """As it stands in the store, ``name@version``: vectors of two embedders are never compared."""
    return f"{embedder.name}@{embedder.version}"


def choose(settings: Settings) -> Embedder:
    """The embedder of the settings. Nothing is loaded and nobody is called before it embeds.

    Raises:
        SettingsError: naming the variable that does not fit.
    """
    if settings.embedder is not None:
        return _own(settings.embedder)
    if settings.embedding_url is not None:
        from assay.embedding.service import ServiceEmbedder

        return ServiceEmbedder(
            settings.embedding_url,
            settings.embedding_model,
            key=None if settings.embedding_api_key is None else settings.embedding_api_key.get_secret_value(),
        )
    from assay.embedding.local import LocalEmbedder

    return LocalEmbedder()


def _own(path: str) -> Embedder:
    try:
        found: Embedder = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"ASSAY_EMBEDDER={path!r}: {error}") from error
    missing = [name for name in ("name", "version", "embed") if not hasattr(found, name)]
    if missing:
        raise SettingsError(
            f"ASSAY_EMBEDDER={path!r}: not an embedder, it lacks {', '.join(missing)}; "
            "see assay/embedding/embedder.py"
        )
    return found
