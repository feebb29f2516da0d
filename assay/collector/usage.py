"""Token counts from the usage blocks of the providers' APIs, brought to one rule.

The contract's rule: ``prompt`` includes what was read from and written to the cache, ``completion`` includes
reasoning. The blocks differ in that:

- Anthropic and Bedrock count cache reads and writes beside their input tokens;
- OpenAI (chat completions and responses) counts them within;
- Gemini counts cached tokens within, but tool-use prompts beside its prompt, and thoughts beside the answer.

Blocks grow new fields with every release of an API, so that those which are not known are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from assay.collector import genai
from assay.contracts.records import Tokens

MAX_TOKENS: Final = 4_294_967_295

_record: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class UnreadableError(Exception):
    """A model call whose fields contradict the contract."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def tokens_of(block: Mapping[str, Any]) -> Tokens:
    """The tokens of a usage block of any provider: its own field names tell whose it is.

    Raises:
        UnreadableError: it is no usage block, or what it holds are no counts.
    """
    if "prompt_tokens" in block or "completion_tokens" in block:
        return openai(block)
    if "input_tokens" in block or "output_tokens" in block:
        # Only OpenAI's has a total, and details of the input.
        return openai(block) if {"total_tokens", "input_tokens_details"} & block.keys() else anthropic(block)
    if "inputTokens" in block or "outputTokens" in block:
        return bedrock(block)
    if any(name in block for name in ("promptTokenCount", "prompt_token_count")):
        return gemini(block)
    raise UnreadableError(
        "usage",
        "no usage block that is known: expected Anthropic's or OpenAI's `usage`, Gemini's `usageMetadata` or "
        f"Bedrock's `usage`, got {_names(block)}",
    )


def with_tokens(span: bytes | msgspec.Raw) -> bytes | msgspec.Raw:
    """A native span with the tokens of its ``usage`` block in the block's place; any other span as it is.

    The service tier that the block names is the call's, unless the span names one.

    Raises:
        UnreadableError: the block is none, or `tokens` are there as well.
    """
    try:
        fields = _record.decode(span)
        block = fields.pop("usage", None)
        if block is None:
            return span
        values = msgspec.json.decode(block)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # The contract's own decoder says what is wrong with it.
        return span
    if "tokens" in fields:
        raise UnreadableError("usage", "`usage` stands in place of `tokens`: send one of them")
    if not isinstance(values, dict):
        raise UnreadableError("usage", "`usage` has to be the provider's usage block, a JSON object")
    fields["tokens"] = msgspec.Raw(msgspec.json.encode(tokens_of(values)))
    tier = values.get("service_tier")
    if isinstance(tier, str) and "pricing_tier" not in fields:
        known = genai.PRICING_TIERS.get(tier.lower(), "standard")
        fields["pricing_tier"] = msgspec.Raw(msgspec.json.encode(known))
    return msgspec.json.encode(fields)


def anthropic(block: Mapping[str, Any]) -> Tokens:
    """``usage`` of Anthropic's Messages API. A stream's final message has it whole.

    Raises:
        UnreadableError: a count is missing, or is none.
    """
    read = _count(block, "cache_read_input_tokens")
    written = _count(block, "cache_creation_input_tokens")
    if written is None:
        lifetimes = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
        written = _sum(*(_count(block, f"cache_creation/{name}") for name in lifetimes))
    return _tokens(
        prompt=_needed(block, "input_tokens") + (read or 0) + (written or 0),
        completion=_needed(block, "output_tokens"),
        cached=read,
        cache_write=written,
        cache_write_1h=_count(block, "cache_creation/ephemeral_1h_input_tokens"),
        reasoning=_count(block, "output_tokens_details/thinking_tokens"),
    )


def openai(block: Mapping[str, Any]) -> Tokens:
    """``usage`` of OpenAI's chat completions, responses and embeddings, and of what speaks like them.

    Gateways that translate other providers' answers put cache writes among the details or beside the counts,
    and a few leave the cache out of the prompt: :func:`settle` finds out.

    Raises:
        UnreadableError: the prompt's count is missing, or one is no count.
    """
    counts = settle(
        prompt=_needed(block, "prompt_tokens", "input_tokens"),
        completion=_count(block, "completion_tokens", "output_tokens") or 0,
        cached=_count(
            block,
            "prompt_tokens_details/cached_tokens",
            "input_tokens_details/cached_tokens",
            "cache_read_input_tokens",
            "prompt_cache_hit_tokens",
        ),
        cache_write=_count(
            block,
            "prompt_tokens_details/cache_write_tokens",
            "prompt_tokens_details/cache_creation_tokens",
            "input_tokens_details/cache_write_tokens",
            "cache_creation_input_tokens",
        ),
        # As LiteLLM writes it.
        cache_write_1h=_count(
            block,
            "prompt_tokens_details/cache_creation_token_details/ephemeral_1h_input_tokens",
            "cache_creation/ephemeral_1h_input_tokens",
        ),
        reasoning=_count(
            block, "completion_tokens_details/reasoning_tokens", "output_tokens_details/reasoning_tokens"
        ),
        total=_count(block, "total_tokens"),
    )
    return _tokens(**counts)


def gemini(block: Mapping[str, Any]) -> Tokens:
    """``usageMetadata`` of Gemini, in JSON's camel case or the Python SDK's snake case.

    Raises:
        UnreadableError: the prompt's count is missing, or one is no count.
    """
    thoughts = _count(block, "thoughtsTokenCount", "thoughts_token_count")
    # The live API calls the answer a response, the others candidates.
    answer = _count(
        block, "candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"
    )
    tools = _count(block, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    return _tokens(
        prompt=_needed(block, "promptTokenCount", "prompt_token_count") + (tools or 0),
        completion=(answer or 0) + (thoughts or 0),
        cached=_count(block, "cachedContentTokenCount", "cached_content_token_count"),
        cache_write=None,
        reasoning=thoughts,
    )


def bedrock(block: Mapping[str, Any]) -> Tokens:
    """``usage`` of Bedrock's Converse API.

    Raises:
        UnreadableError: the input's count is missing, or one is no count.
    """
    read = _count(block, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _count(block, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return _tokens(
        prompt=_needed(block, "inputTokens") + (read or 0) + (written or 0),
        completion=_count(block, "outputTokens") or 0,
        cached=read,
        cache_write=written,
        reasoning=None,
    )


def settle(
    *,
    prompt: int,
    completion: int,
    cached: int | None,
    cache_write: int | None,
    reasoning: int | None,
    cache_write_1h: int | None = None,
    total: int | None = None,
    excludes: bool | None = None,
) -> dict[str, int]:
    """The counts by the contract's rule, from a source that may or may not hold to it.

    A source that leaves cache or reasoning out is found by its own numbers: a part that is more than the
    whole, or a total that is the sum of all the parts.

    Args:
        excludes: whether ``prompt`` leaves the cache out; None where only the numbers can tell.
    """
    if cache_write is None:
        cache_write = cache_write_1h
    cache = (cached or 0) + (cache_write or 0)
    if excludes is None:
        excludes = cache > 0 and (cache > prompt or total == prompt + cache + completion)
    thought = reasoning or 0
    if thought > completion or (thought and total == prompt + completion + thought):
        completion += thought
    found = {"prompt": prompt + cache if excludes else prompt, "completion": completion}
    parts = {
        "cached": cached,
        "cache_write": cache_write,
        "cache_write_1h": cache_write_1h,
        "reasoning": reasoning,
    }
    return found | {name: count for name, count in parts.items() if count is not None}


def whole(value: Any) -> int | None:
    """A count, however it is written; None where it is none."""
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        # More digits are no count, and take quadratic time to read.
        case str() if len(value) < 20 and value.strip().isdecimal():
            return int(value)
        case _:
            return None


def _tokens(
    *,
    prompt: int,
    completion: int,
    cached: int | None = None,
    cache_write: int | None = None,
    cache_write_1h: int | None = None,
    reasoning: int | None = None,
) -> Tokens:
    if max(prompt, completion) > MAX_TOKENS:
        raise UnreadableError("usage", f"{max(prompt, completion)} tokens are more than {MAX_TOKENS}")
    try:
        return Tokens(
            prompt=prompt,
            completion=completion,
            cached=cached,
            cache_write=cache_write,
            cache_write_1h=cache_write_1h,
            reasoning=reasoning,
        )
    except ValueError as error:
        raise UnreadableError("usage", str(error)) from None


def _count(block: Mapping[str, Any], *names: str) -> int | None:
    """The count under the first of the names that has one; a name with a slash is that of a part."""
    for name in names:
        value: Any = block
        for part in name.split("/"):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None:
            continue
        count = whole(value)
        if count is None or not 0 <= count <= MAX_TOKENS:
            field = f"usage.{name.replace('/', '.')}"
            raise UnreadableError(field, f"`{field}` = {str(value)[:64]!r} is no token count")
        return count
    return None


def _needed(block: Mapping[str, Any], *names: str) -> int:
    count = _count(block, *names)
    if count is None:
        raise UnreadableError(f"usage.{names[0]}", f"`usage.{names[0]}` is missing")
    return count


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _names(block: Mapping[str, Any]) -> str:
    names = [f"`{str(name)[:64]}`" for name in list(block)[:8]]
    return ", ".join(names) if names else "an empty object"
