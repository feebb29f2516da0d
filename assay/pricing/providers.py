"""Names of providers: what sources call them, what Assay calls them, and as what the price list has them.

Assay's name is OpenTelemetry's well-known value of ``gen_ai.provider.name`` where there is one. The others
are those of earlier conventions (``gen_ai.system``), of LiteLLM (``custom_llm_provider``), Kong,
OpenInference, OpenLLMetry and the AI SDK. A provider that is not here stays as it is named, and has prices
where the list recognises the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Provider:
    """One provider.

    Attributes:
        name: as it is stored.
        listed: as ``genai-prices`` calls it; empty where it has no list of theirs.
        others: as sources call it, in lower case.
    """

    name: str
    listed: str
    others: tuple[str, ...] = ()


PROVIDERS: Final = (
    Provider("openai", "openai", ("text-completion-openai", "aiohttp_openai")),
    Provider("anthropic", "anthropic", ("anthropic_text",)),
    # Azure's list has what Microsoft prices itself, and lends the rest from the makers of the models.
    Provider(
        "azure.ai.openai", "azure", ("az.ai.openai", "azure", "azure_text", "azure_openai", "azure-openai")
    ),
    Provider("azure.ai.inference", "azure", ("az.ai.inference", "azure_ai", "azure_ai_foundry")),
    Provider(
        "aws.bedrock",
        "aws",
        ("bedrock", "aws_bedrock", "amazon_bedrock", "amazon-bedrock", "bedrock_converse", "aws"),
    ),
    # Gemini by any of Google's doors costs the same in the list; Claude on Vertex AI is in Google's list too.
    Provider(
        "gcp.vertex_ai", "google", ("vertex_ai", "vertex_ai_beta", "vertexai", "vertex", "google.vertex")
    ),
    Provider("gcp.gemini", "google", ("gemini", "google.generative-ai")),
    Provider("gcp.gen_ai", "google", ("google", "google_genai")),
    Provider("x_ai", "x-ai", ("xai", "x-ai")),
    Provider("mistral_ai", "mistral", ("mistral", "mistralai", "codestral", "text-completion-codestral")),
    Provider("groq", "groq"),
    Provider("deepseek", "deepseek"),
    Provider("cohere", "cohere", ("cohere_chat",)),
    Provider("perplexity", "perplexity"),
    Provider("ibm.watsonx.ai", "", ("watsonx", "watsonx_text")),
    Provider("moonshot_ai", "moonshotai", ("moonshot", "moonshotai")),
    # These have no well-known value.
    Provider("openrouter", "openrouter"),
    Provider("together_ai", "together", ("together", "togetherai", "together-ai")),
    Provider("fireworks_ai", "fireworks", ("fireworks", "fireworks-ai")),
    # Somebody's own machine behind OpenAI's protocol: the list would take these for OpenAI by their names.
    Provider("custom_openai", ""),
    Provider("openai_like", "", ("openai-compatible",)),
)
# What the AI SDK puts behind a name ("openai.chat"), and LiteLLM ("vertex_ai-anthropic_models").
SUFFIX: Final = re.compile(
    r"(?:\.(?:chat|responses|messages|completion|embedding|generative-ai)|-[a-z0-9]+_models)$"
)
_BY_NAME: Final = {name: provider for provider in PROVIDERS for name in (provider.name, *provider.others)}
_ARN: Final = "arn:"
_PROFILE: Final = ":application-inference-profile/"
_MODELS: Final = "/models/"
_FIREWORKS: Final = "accounts/fireworks/models/"
_ROUTED: Final = re.compile(r"^(?:[a-z]{2,4}|us-gov)\.(?=[a-z0-9]+\.)")
# What may stand behind a name that Bedrock's list has in full: the date and the revision.
_DATED: Final = re.compile(r"^(?:-\d{8})?(?:-v\d+(?::\d+)?)?$")


def stored_name(name: str) -> str:
    """A provider as Assay calls it; in lower case where it is not known."""
    found = _find(name)
    return name.lower().strip() if found is None else found.name


def listed_name(name: str) -> str | None:
    """A provider as the price list calls it: empty where it has none of theirs, None where nobody knows."""
    found = _find(name)
    return None if found is None else found.listed


def all_names(name: str) -> frozenset[str]:
    """Whatever a provider may be called, this name among them."""
    found = _find(name)
    return frozenset({name} if found is None else {name, found.name, found.listed, *found.others}) - {""}


def model_names(listed: str, model: str) -> Iterator[str]:
    """Names to look a provider's model up by, the likeliest first.

    Args:
        listed: the provider as the price list calls it.
        model: as the source names it.
    """
    yield model
    # LiteLLM prefixes the name with a provider; where that is given beside it, the list wants the rest.
    if "/" in model:
        yield model.partition("/")[2]
    # Resource names: "publishers/google/models/gemini-2.5-pro", a Bedrock ARN.
    if _MODELS in model:
        yield model.rpartition(_MODELS)[2]
    elif model.startswith(_ARN):
        yield model.rpartition("/")[2]
    if listed == "fireworks" and "/" not in model:
        yield f"{_FIREWORKS}{model}"


def bedrock_name(model: str) -> str:
    """A Bedrock model's name as the price list begins it: with where it is routed, and by whom it is made.

    Without "global." it is taken to run in the region in which it was called, as Bedrock itself does; the
    list calls that "regional".
    """
    name = model.rpartition("/")[2].lower()
    if not name.startswith("global."):
        name = f"regional.{_ROUTED.sub('', name)}"
    head, _, rest = name.partition(".")
    return f"{head}.anthropic.{rest}" if rest.startswith("claude") else name


def is_dated(full: str, name: str) -> bool:
    """Whether a listed name is this one with a date and a revision."""
    return full.startswith(name) and _DATED.match(full.removeprefix(name)) is not None


def is_opaque(model: str) -> bool:
    """Whether a name does not tell which model runs."""
    return model.startswith(_ARN) and _PROFILE in model


def _find(name: str) -> Provider | None:
    name = name.lower().strip()
    return _BY_NAME.get(name) or _BY_NAME.get(SUFFIX.sub("", name))
