"""Names of providers and of their models: what sources send, what is stored, what the price list has."""

from __future__ import annotations

import pytest
from genai_prices.data_snapshot import get_snapshot
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiProviderNameValues

from assay.pricing import catalogue, providers
from assay.pricing.providers import PROVIDERS, all_names, listed_name, stored_name

# Everything that OpenTelemetry knows, with a model that the price list has. IBM's it has not.
WELL_KNOWN = {
    "openai": ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
    "anthropic": ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
    "azure.ai.openai": ("azure", "o3-mini", "o3-mini"),
    "azure.ai.inference": ("azure", "phi-4", "phi-4"),
    "aws.bedrock": ("aws", "amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
    "gcp.vertex_ai": ("google", "gemini-2.5-pro", "gemini-2.5-pro"),
    "gcp.gemini": ("google", "gemini-2.5-flash", "gemini-2.5-flash"),
    "gcp.gen_ai": ("google", "gemini-2.5-pro", "gemini-2.5-pro"),
    "x_ai": ("x-ai", "grok-4-0709", "grok-4-0709"),
    "mistral_ai": ("mistral", "mistral-large-latest", "mistral-large"),
    "groq": ("groq", "llama-3.1-8b-instant", "llama-3.1-8b-instant"),
    "deepseek": ("deepseek", "deepseek-chat", "deepseek-chat"),
    "cohere": ("cohere", "command-r-plus", "command-r-plus"),
    "perplexity": ("perplexity", "sonar", "sonar"),
    "ibm.watsonx.ai": ("", "", ""),
}


@pytest.mark.parametrize("name", sorted(value.value for value in GenAiProviderNameValues))
def test_every_well_known_provider_is_stored_as_such_and_priced(name: str) -> None:
    listed, model, found = WELL_KNOWN[name]
    assert stored_name(name) == name
    assert listed_name(name) == listed
    prices = catalogue.prices(name, "", model, "standard")
    assert prices.provider == name
    assert prices.names == (listed, found)
    assert prices.reason == ("" if listed else "no price list of provider ibm.watsonx.ai")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        # LiteLLM's custom_llm_provider.
        ("azure", "azure.ai.openai"),
        ("azure_ai", "azure.ai.inference"),
        ("bedrock", "aws.bedrock"),
        ("bedrock_converse", "aws.bedrock"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("vertex_ai-anthropic_models", "gcp.vertex_ai"),
        ("gemini", "gcp.gemini"),
        ("xai", "x_ai"),
        ("mistral", "mistral_ai"),
        ("cohere_chat", "cohere"),
        ("text-completion-openai", "openai"),
        ("together_ai", "together_ai"),
        ("fireworks_ai", "fireworks_ai"),
        ("openrouter", "openrouter"),
        ("moonshot", "moonshot_ai"),
        # Earlier conventions, OpenInference, OpenLLMetry, the AI SDK, the price list.
        ("az.ai.openai", "azure.ai.openai"),
        ("Azure", "azure.ai.openai"),
        ("AWS", "aws.bedrock"),
        ("amazon-bedrock", "aws.bedrock"),
        ("mistralai", "mistral_ai"),
        ("vertexai", "gcp.vertex_ai"),
        ("openai.chat", "openai"),
        ("anthropic.messages", "anthropic"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("google.generative-ai", "gcp.gemini"),
        ("x-ai", "x_ai"),
        ("fireworks", "fireworks_ai"),
        # Nobody's.
        ("Acme GPU ", "acme gpu"),
    ],
)
def test_what_sources_call_a_provider(sent: str, stored: str) -> None:
    assert stored_name(sent) == stored
    assert stored_name(stored) == stored


def test_the_table_names_each_once_and_lists_that_exist() -> None:
    names = [name for provider in PROVIDERS for name in (provider.name, *provider.others)]
    assert len(names) == len(set(names))
    assert names == [name.lower() for name in names]
    known = {provider.id for provider in get_snapshot().providers}
    assert {provider.listed for provider in PROVIDERS} - {""} <= known
    assert all_names("bedrock") == all_names("aws.bedrock") >= {"aws", "aws_bedrock"}
    assert all_names("acme") == {"acme"}


SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
REGIONAL = f"regional.{SONNET}"
ARN = "arn:aws:bedrock:eu-west-1:123456789012"


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        # Bedrock: where it is routed has prices of its own; without a word of it, the region's.
        ("aws.bedrock", f"us.{SONNET}", REGIONAL),
        ("aws.bedrock", f"global.{SONNET}", f"global.{SONNET}"),
        ("aws.bedrock", SONNET, REGIONAL),
        ("bedrock", "claude-sonnet-4-5", REGIONAL),
        ("bedrock", "anthropic.claude-sonnet-4-5", REGIONAL),
        ("bedrock", "global.anthropic.claude-sonnet-4-5", f"global.{SONNET}"),
        ("bedrock", "bedrock/eu.anthropic.claude-sonnet-4-5", REGIONAL),
        # Of two dates with one price, either.
        ("bedrock", "claude-3-5-sonnet", "regional.anthropic.claude-3-5-sonnet-20240620-v1:0"),
        (
            "bedrock",
            "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
        ),
        ("bedrock", f"{ARN}:inference-profile/eu.{SONNET}", REGIONAL),
        ("bedrock", f"{ARN.replace('123456789012', '')}:foundation-model/{SONNET}", REGIONAL),
        ("bedrock", "meta.llama3-1-70b-instruct-v1:0", "meta.llama3-1-70b-instruct-v1:0"),
        # Vertex AI: Gemini and Claude, by name, by publisher, with a date.
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        (
            "gcp.vertex_ai",
            "projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929",
            "claude-sonnet-4-5",
        ),
        ("gcp.gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        # What Azure does not price itself is lent from the makers' lists.
        ("azure.ai.openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("azure_ai", "grok-4", "grok-4-0709"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("fireworks_ai", "accounts/fireworks/models/deepseek-v3p2", "deepseek-v3p2"),
        ("fireworks_ai", "deepseek-v3p2", "deepseek-v3p2"),
        ("xai", "xai/grok-4", "grok-4-0709"),
    ],
    ids=str,
)
def test_models_are_found_by_the_names_that_sources_give_them(provider: str, model: str, found: str) -> None:
    assert catalogue.prices(provider, "", model, "standard").names[1] == found


OPAQUE = ", an inference profile that does not say which"


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("acme", "large", "no price list of provider acme"),
        ("custom_openai", "gpt-4o", "no price list of provider custom_openai"),
        ("azure", "our-deployment", "no price for model our-deployment of provider azure"),
        ("bedrock", "claude-sonnet-9", "no price for model claude-sonnet-9 of provider bedrock"),
        # Dates of one name with different prices.
        ("bedrock", "anthropic.claude", "no price for model anthropic.claude of provider bedrock"),
        (
            "bedrock",
            f"{ARN}:application-inference-profile/a1b2",
            f"no price for model {ARN}:application-inference-profile/a1b2 of provider bedrock{OPAQUE}",
        ),
        ("", "no-such-model", "no price for model no-such-model"),
    ],
    ids=str,
)
def test_what_has_no_price_says_why(provider: str, model: str, reason: str) -> None:
    prices = catalogue.prices(provider, "", model, "standard")
    assert not prices.known
    assert prices.reason == reason


@pytest.mark.parametrize(
    ("provider", "model", "stored"),
    [
        # Inferred from the model: not by the list's own name, which no invoice and no contract has.
        ("", "gemini-2.5-pro", "gcp.gen_ai"),
        ("", "grok-4", "x_ai"),
        ("", "mistral-large-latest", "mistral_ai"),
        ("", "no-such-model", ""),
        # As a native span may say it.
        ("google", "gemini-2.5-pro", "gcp.gen_ai"),
        ("azure", "our-deployment", "azure.ai.openai"),
        ("MyCorp", "large", "mycorp"),
    ],
)
def test_a_provider_has_one_name_whoever_says_it(provider: str, model: str, stored: str) -> None:
    assert catalogue.prices(provider, "", model, "standard").provider == stored


def test_the_model_that_answered_says_what_a_profile_hides() -> None:
    model = f"{ARN}:application-inference-profile/a1b2"
    assert catalogue.prices("aws.bedrock", SONNET, model, "standard").names == ("aws", REGIONAL)


def test_dates_are_all_that_may_stand_behind_a_name() -> None:
    name = providers.bedrock_name("us.anthropic.claude-sonnet-4")
    assert providers.is_dated(f"{name}-20250514-v1:0", name)
    assert not providers.is_dated(f"{name}-5-20250929-v1:0", name)
    assert not providers.is_dated(f"{name}0", name)
