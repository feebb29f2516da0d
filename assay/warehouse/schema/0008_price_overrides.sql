-- Prices beside the list: negotiated prices and discounts, units, models of one's own. Append-only: the newest row of a
-- key (provider, model, tenant_id, pricing_tier, token_class, valid_from) counts, and what was noted before it stays.
-- An empty text means any; `*` and `?` in provider, model and tenant_id stand for any letters and any one letter.

CREATE TABLE IF NOT EXISTS price_overrides
(
    provider LowCardinality(String),
    model LowCardinality(String),
    tenant_id String,
    pricing_tier LowCardinality(String),
    -- input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, or the name of a unit (image, …).
    -- Empty, with a discount factor alone: every class of tokens that the list prices.
    token_class LowCardinality(String),
    -- US dollars per million tokens, or per unit.
    price_usd Nullable(Decimal(38, 12)),
    -- Instead of a price: what the list price is multiplied by.
    discount_factor Nullable(Decimal(18, 12)),
    valid_from DateTime64(6, 'UTC'),
    -- The first moment at which it does not hold any more; NULL: it holds on.
    valid_to Nullable(DateTime64(6, 'UTC')),
    source String,
    noted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (tenant_id, model, token_class, valid_from, noted_at);

-- Cache writes that live for an hour cost more than those that live for five minutes. Part of cache_write_tokens.
ALTER TABLE llm_traces ADD COLUMN IF NOT EXISTS cache_write_1h_tokens Nullable(UInt32) AFTER cache_write_tokens;
