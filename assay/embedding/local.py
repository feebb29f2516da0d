"""The embedder that needs nothing from outside: static token vectors that come inside a package.

WordLlama's ``l2_supercat``: 32,000 tokens, 256 dimensions, 16 MB. The vector of a text is the mean of its
tokens'. Of 40 short requests of 8 kinds, 53 % had another of their kind as the nearest (chance: 10 %), and
two of a kind were closer than two of different kinds with probability 0.78; hashed words and character
n-grams, which need no model, reached 20 % and 0.62. It takes 0.4 s and 95 MB to load.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from assay.embedding.embedder import EmbedderError, Vectors

if TYPE_CHECKING:
    from wordllama import WordLlamaInference

MODEL: Final = "l2_supercat"
DIMENSIONS: Final = 256
# A batch is padded to its longest text: 8 texts of 6,000 tokens take 100 MB.
_BATCH: Final = 8


class LocalEmbedder:
    """WordLlama in this process, loaded with the first text."""

    name = f"wordllama-{MODEL}-{DIMENSIONS}"

    @cached_property
    def version(self) -> str:
        """The package's: its weights come with it."""
        try:
            return version("wordllama")
        except ModuleNotFoundError as error:
            raise EmbedderError(
                f"the package wordllama is not installed (it has no wheel for {platform.machine()} on "
                f"{platform.system()}): install it, or name a service with ASSAY_EMBEDDING_URL"
            ) from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, shape (n, 256)."""
        found: Vectors = self._model.embed(list(texts), batch_size=_BATCH)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        directions: Vectors = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
        return directions

    @cached_property
    def _model(self) -> WordLlamaInference:
        _ = self.version
        from safetensors import safe_open
        from wordllama import WordLlama, WordLlamaInference
        from wordllama.config import WordLlamaModels
        from wordllama.tokenizers import tokenizer_from_file

        # Not WordLlama.load(): it looks for the tokenizer beside its own folder, and then on the network.
        uri: Any = getattr(WordLlamaModels, MODEL)
        weights = WordLlama.resolve_file(MODEL, uri, DIMENSIONS, False, "weights", disable_download=True)
        with safe_open(str(weights), framework="np") as file:
            vectors = file.get_tensor("embedding.weight")
        return WordLlamaInference(vectors, tokenizer_from_file(uri.tokenizer_config))
