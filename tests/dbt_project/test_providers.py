"""Providers of stored calls by one name: in SQL as in Python."""

from __future__ import annotations

from assay.pricing.providers import PROVIDERS, stored_name
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.charges import charged
from tests.support.days import insert

NAMES = [name for p in PROVIDERS for name in (p.name, p.listed, *p.others) if name]
BEHIND = ("", ".chat", ".generative-ai", "-anthropic_models", ".else", "-models")
SAID = [word for name in NAMES for end in BEHIND for word in (f"{name}{end}", f" {name}{end}".upper())]


def test_a_call_has_the_name_that_the_writer_gives(built: Settings) -> None:
    said = [*SAID, "", "nobody", "Nobody.chat", "o'neill|x"]
    insert(built, "llm_traces", [charged(n, provider=word, trace_id=word) for n, word in enumerate(said)])
    with connect(built) as client:
        rows = client.query("SELECT trace_id, provider FROM stg_llm_traces").result_rows
    assert {(trace, provider) for trace, provider in rows} == {(word, stored_name(word)) for word in said}
