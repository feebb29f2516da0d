"""The attributes' names for dbt: ``python -m assay.collector.otel_traces.names`` writes its macro anew.

:mod:`assay.collector.genai` says what instrumentations call the fields of a call. The staging model over the
exporter's table reads by the same names, which are written into the project for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from assay.collector import genai
from assay.collector.spans import MODEL_CALL_FIELDS
from assay.pricing.providers import PROVIDERS, SUFFIX
from assay.warehouse.dbt import PROJECT

PATH: Final = PROJECT / "macros" / "otel_names.sql"
_INDENT: Final = "    "
_WIDTH: Final = 110


def names() -> dict[str, dict[str, Any]]:
    """Names by field, and what words for values mean."""
    return {
        "rows": {field: list(found) for field, found in genai.ROWS.items() if field != "text"},
        "calls": {
            "names": [name for field in MODEL_CALL_FIELDS for name in genai.ROWS[field]],
            "inference": sorted(genai.INFERENCE),
            "around": sorted(genai.AROUND_INFERENCE),
            "agent": [genai.INVOKE_AGENT],
            "kinds": sorted(genai.MODEL_KINDS),
            "around_kinds": sorted(genai.AROUND_KINDS),
        },
        "values": {
            "providers": {name: found.name for found in PROVIDERS for name in (found.name, *found.others)},
            "provider_suffix": SUFFIX.pattern,
            "pricing_tiers": dict(genai.PRICING_TIERS),
            "aborted": sorted(genai.ABORTED),
            "ttft_ms": dict(genai.TTFT),
            "first_token": sorted(genai.FIRST_TOKEN_EVENTS),
            "from_resource": list(genai.FROM_RESOURCE),
            "parameters": [genai.PARAMETERS],
            "response": [genai.RESPONSE],
        },
    }


def macro() -> str:
    """The text of the macro."""
    return (
        "{#- What instrumentations call the fields of a call. Written by `make schemas` from"
        " assay/collector/genai.py: -#}\n{#- change it there. -#}\n{%- macro otel_names() -%}\n{{ return("
        f"{_literal(names(), '')}) }}}}\n{{%- endmacro -%}}\n"
    )


def _literal(value: Any, indent: str) -> str:
    inline = repr(value)
    if not isinstance(value, dict | list) or len(indent) + len(inline) < _WIDTH - 40:
        return inline
    inner = indent + _INDENT
    if isinstance(value, list):
        items = [f"{inner}{_literal(item, inner)},\n" for item in value]
        return f"[\n{''.join(items)}{indent}]"
    items = [f"{inner}{key!r}: {_literal(item, inner)},\n" for key, item in value.items()]
    return f"{{\n{''.join(items)}{indent}}}"


def write() -> None:
    """Write it into the dbt project."""
    Path(PATH).write_text(macro(), encoding="utf-8")


if __name__ == "__main__":
    write()
