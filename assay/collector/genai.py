"""What instrumentations call the fields of a span: one row per field, its names in order of preference.

Sources of the names:

- OpenTelemetry GenAI semantic conventions, current (``gen_ai.provider.name``,
  ``gen_ai.usage.cache_read.input_tokens``) and previous (``gen_ai.system``, ``gen_ai.usage.prompt_tokens``);
- OpenInference (``llm.token_count.prompt``, ``openinference.span.kind``);
- OpenLLMetry/Traceloop (``traceloop.*``, ``llm.request.type``, ``gen_ai.prompt.N.content``);
- LiteLLM's ``otel`` callback, first version (``metadata.user_api_key_*``, ``gen_ai.cost.*``) and second
  (``litellm.*``);
- Anthropic's client, which writes spans of its own (``anthropic.*`` beside the conventions' names);
- ``assay.*``, which outranks them all.
"""

from __future__ import annotations

from typing import Final

Names = tuple[str, ...]

# -- fields that are copied ----------------------------------------------------------------------------------

TEXT_FIELDS: Final[dict[str, Names]] = {
    "model": (
        "assay.model",
        "gen_ai.request.model",
        "llm.request.model_name",
        "llm.model_name",
        "embedding.model_name",
        "reranker.model_name",
        "llm.request.model",
    ),
    "response_model": ("gen_ai.response.model", "llm.response.model_name", "llm.response.model"),
    "response_id": ("assay.response_id", "gen_ai.response.id", "ai.response.id"),
    "provider": (
        "assay.provider",
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "llm.vendor",
    ),
    "task_type": ("assay.task_type",),
    "session_id": (
        "assay.session_id",
        "session.id",
        "gen_ai.conversation.id",
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.conversation_id",
    ),
    "user_id": (
        "assay.user_id",
        "user.id",
        "enduser.id",
        "traceloop.association.properties.user_id",
        "litellm.end_user.id",
        "metadata.user_api_key_end_user_id",
        "llm.user",
        "litellm.metadata.user_api_key_user_id",
        "metadata.user_api_key_user_id",
    ),
    "experiment_id": ("assay.experiment_id",),
    "experiment_variant": ("assay.experiment_variant",),
    "environment": ("assay.environment", "deployment.environment.name", "deployment.environment"),
    "error_type": ("error.type", "exception.type"),
    "finish_reason": (
        "gen_ai.response.finish_reasons",
        "llm.finish_reason",
        "llm.response.finish_reason",
        "llm.response.stop_reason",
        "gen_ai.completion.0.finish_reason",
        "anthropic.message.stop_reason",
    ),
    "modality": ("assay.modality", "gen_ai.output.type"),
    "pricing_tier": (
        "assay.pricing_tier",
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "gen_ai.response.service_tier",
        "anthropic.response.service_tier",
    ),
}
# These may stand on the resource as well: one process, one answer.
FROM_RESOURCE: Final = (
    "environment",
    "experiment_id",
    "experiment_variant",
    "task_type",
    "prompt_template_version",
)

TENANT: Final[Names] = ("assay.tenant_id", "tenant.id", "tenant_id")
# The gateway's own idea of who pays, behind everything that names a tenant outright.
GATEWAY_TENANT: Final[Names] = (
    "litellm.team.id",
    "litellm.metadata.user_api_key_team_id",
    "metadata.user_api_key_team_id",
)
SERVICE_NAME: Final = "service.name"

TEMPLATE_VERSION: Final[Names] = ("assay.prompt_template_version",)
# Where name and version are apart, they are joined: "rag" and "v3.2" are "rag-v3.2".
TEMPLATE_NAME: Final[Names] = ("gen_ai.prompt.name", "traceloop.prompt.key", "prompt.id")
TEMPLATE_NUMBER: Final[Names] = (
    "gen_ai.prompt.version",
    "traceloop.prompt.version",
    "traceloop.prompt.version_name",
    "llm.prompt_template.version",
)

# -- tokens --------------------------------------------------------------------------------------------------

TOKENS: Final[dict[str, Names]] = {
    "prompt": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "completion": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "cached": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
        "llm.usage.cache_read_input_tokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "llm.usage.cache_creation_input_tokens",
    ),
    # No convention has it yet: Anthropic's own name, under the convention's.
    "cache_write_1h": (
        "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens",
        "gen_ai.usage.cache_write_1h.input_tokens",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
    ),
    "total": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
}
# LiteLLM's `otel` callback names prompt, completion and total; the whole usage block it writes as text.
USAGE_BLOCK: Final[Names] = ("metadata.usage_object",)
# Whether the convention of a prompt count includes what was read from and written to the cache. All of them
# say so today; instrumentations of Anthropic, whose usage block excludes both, came to follow it late. So the
# counts themselves are asked as well (see `usage`), and this attribute of span or resource settles it.
EXCLUDES_CACHE: Final = "assay.prompt_tokens_exclude_cache"

# What is not billed by token: a count under each unit's name (`assay.units.image`). No convention has any.
UNITS: Final = "assay.units."

# -- time and money ------------------------------------------------------------------------------------------

# Name and how many milliseconds its unit has.
TTFT: Final[tuple[tuple[str, float], ...]] = (
    ("assay.ttft_ms", 1.0),
    ("gen_ai.response.time_to_first_chunk", 1000.0),
    ("gen_ai.server.time_to_first_token", 1000.0),
    ("ai.response.msToFirstChunk", 1.0),
)
FIRST_TOKEN_EVENTS: Final = frozenset(
    {"llm.content.completion.chunk", "gen_ai.content.completion.chunk", "First Token Stream Event"}
)
COST: Final[Names] = (
    "assay.cost_usd",
    "gen_ai.usage.cost",
    "llm.cost.total",
    "litellm.cost.total_cost",
    "litellm.cost.total",
    "gen_ai.cost.total_cost",
)

# -- text ----------------------------------------------------------------------------------------------------

INPUT: Final[Names] = ("gen_ai.input.messages", "gen_ai.prompt", "input.value", "traceloop.entity.input")
OUTPUT: Final[Names] = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "output.value",
    "traceloop.entity.output",
)
SYSTEM: Final = "gen_ai.system_instructions"
# Flattened lists: prefix, what stands behind the number for the role, and for the text.
INPUT_LISTS: Final = (
    ("llm.input_messages.", "message.role", "message.content"),
    ("gen_ai.prompt.", "role", "content"),
)
OUTPUT_LISTS: Final = (
    ("llm.output_messages.", "message.role", "message.content"),
    ("gen_ai.completion.", "role", "content"),
)
CONTEXT_LISTS: Final = (("retrieval.documents.", "document.id", "document.content"),)
CONTEXT: Final[Names] = ("gen_ai.retrieval.documents",)

# What was asked for, as a JSON object: OpenInference leaves a failed call's model there alone.
PARAMETERS: Final = "llm.invocation_parameters"

# What was answered, whole, as a JSON object: OpenInference leaves the response's id there alone.
RESPONSE: Final = "output.value"

# -- what kind of span it is ---------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
OPENINFERENCE_KIND: Final = "openinference.span.kind"
TRACELOOP_KIND: Final = "traceloop.span.kind"
REQUEST_TYPE: Final = "llm.request.type"

INFERENCE: Final = frozenset(
    {"chat", "generate_content", "text_completion", "embeddings", "embedding", "completion"}
)
# Their usage is that of the model calls inside them. An agent that is called over the network is different:
# nothing inside it reports here.
AROUND_INFERENCE: Final = frozenset(
    {"execute_tool", "create_agent", "retrieval", "invoke_workflow", "create_memory", "search_memory", "plan"}
)
INVOKE_AGENT: Final = "invoke_agent"
MODEL_KINDS: Final = frozenset({"LLM", "EMBEDDING", "RERANKER"})
AROUND_KINDS: Final = frozenset({"workflow", "task", "agent", "tool"})

ABORTED: Final = frozenset(
    {
        "aborted",
        "cancelled",
        "canceled",
        "cancellederror",
        "asyncio.cancellederror",
        "client_disconnected",
        "aborterror",
    }
)
PRICING_TIERS: Final = {
    "standard": "standard",
    "default": "standard",
    "auto": "standard",
    "on_demand": "standard",
    "batch": "batch",
    # OpenAI bills its flex tier at batch prices.
    "flex": "batch",
    "priority": "priority",
    # Capacity at a fixed amount: OpenAI's scale tier, Bedrock's reserved tier.
    "scale": "provisioned",
    "reserved": "provisioned",
    "provisioned": "provisioned",
}
MODALITIES: Final = {"image": "image", "speech": "audio", "audio": "audio", "video": "video"}

# Every row by its field. A name stands in one row only, so that one look at each attribute finds them all.
ROWS: Final[dict[str, Names]] = {
    **TEXT_FIELDS,
    **{f"tokens.{field}": names for field, names in TOKENS.items()},
    "usage_block": USAGE_BLOCK,
    "tenant": TENANT,
    "gateway_tenant": GATEWAY_TENANT,
    "template_version": TEMPLATE_VERSION,
    "template_name": TEMPLATE_NAME,
    "template_number": TEMPLATE_NUMBER,
    "ttft": tuple(name for name, _ in TTFT),
    "cost": COST,
    "status": ("assay.status",),
    "excludes_cache": (EXCLUDES_CACHE,),
    "operation": (OPERATION,),
    "openinference_kind": (OPENINFERENCE_KIND,),
    "traceloop_kind": (TRACELOOP_KIND,),
    "request_type": (REQUEST_TYPE,),
    "service": (SERVICE_NAME,),
    # Text is read elsewhere, and only where it may be kept.
    "text": (SYSTEM, *INPUT, *OUTPUT, *CONTEXT),
}
ROW_OF: Final = {name: (field, rank) for field, names in ROWS.items() for rank, name in enumerate(names)}
# Names of what a call was, not of what was said in it.
LABELS: Final = frozenset(name for field, names in ROWS.items() if field != "text" for name in names)
TEXT_PREFIXES: Final = tuple(prefix for prefix, _, _ in (*INPUT_LISTS, *OUTPUT_LISTS, *CONTEXT_LISTS))
