"""List prices in the store: of what is called, once, and anew by another price list."""

from __future__ import annotations

from decimal import Decimal

import pytest
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.collector.writer.prices import PriceBook
from assay.pricing import catalogue
from assay.pricing.listing import Listing
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.charges import charged
from tests.support.days import insert
from tests.support.stores import Valkey

CALL = charged(1)
# Stored before there was one name for a provider.
BEFORE = charged(3, provider="Anthropic")
UNKNOWN = charged(2, model="no-such-model", response_model="", provider="nobody")
SONNET = [
    # A call whose prompt is longer than 200,000 tokens is charged at the second price.
    *(("cache_read", 0, Decimal("0.3")), ("cache_read", 200_000, Decimal("0.6"))),
    *(("input", 0, Decimal(3)), ("input", 200_000, Decimal(6))),
]


def noted(settings: Settings, table: str = "stg_list_prices") -> list[tuple[str, int, Decimal]]:
    with connect(settings) as client:
        return [
            (name, above, price)
            for name, above, price in client.query(
                f"SELECT token_class, above_tokens, price_usd FROM {table} "
                "WHERE token_class IN ('input', 'cache_read') AND provider = 'anthropic' "
                "ORDER BY token_class, above_tokens"
            ).result_rows
        ]


def test_what_is_called_is_noted_once(built: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(built) as client:
        listing = Listing()
        assert listing.note(client) == 0
        # Priced by a row beside the list, the second is of no list.
        insert(built, "llm_traces", [CALL, BEFORE, UNKNOWN])
        # Loaded with times of last year, while this process goes on.
        assert listing.note(client) == 0
        listing = Listing()
        assert (listing.note(client), listing.note(client)) == (2, 0)
        assert noted(built) == SONNET
        Listing().note(client)
        assert noted(built, "list_prices") == SONNET
        monkeypatch.setattr(catalogue, "SOURCE", "another list")
        Listing().note(client)
        assert len(noted(built, "list_prices")) == 2 * len(SONNET)
        assert noted(built) == SONNET


def test_what_could_not_be_noted_is_noted_the_next_time(built: Settings) -> None:
    insert(built, "llm_traces", [CALL])
    with connect(built) as client:
        listing = Listing()
        client.command("ALTER TABLE list_prices RENAME COLUMN price_usd TO away")
        with pytest.raises(ClickHouseError, match="price_usd"):
            listing.note(client)
        client.command("ALTER TABLE list_prices RENAME COLUMN away TO price_usd")
        assert listing.note(client) == 1
    assert noted(built) == SONNET


def test_the_writer_notes_them(built: Settings, valkey: Valkey) -> None:
    insert(built, "llm_traces", [CALL])
    with connect(built) as client, redis.Redis.from_url(valkey.url) as queue:
        PriceBook(queue).current(client)
    assert noted(built) == SONNET


def test_there_is_nothing_to_note_before_there_are_rollups(migrated: Settings) -> None:
    with connect(migrated) as client:
        assert Listing().note(client) == 0
