-- List prices of the kinds of calls that were stored, for what is computed here: what a discount was worth that nobody
-- used. Calls are priced without this table. Append-only: of a kind of calls (provider, model, response_model,
-- pricing_tier) all rows with the newest noted_at count; what an older price list said stays.

CREATE TABLE IF NOT EXISTS list_prices
(
    provider LowCardinality(String),
    model LowCardinality(String),
    response_model LowCardinality(String),
    pricing_tier LowCardinality(String),
    -- input, cache_read, cache_write_5m, cache_write_1h, output, reasoning.
    token_class LowCardinality(String),
    -- The price of prompts longer than this; 0: of any.
    above_tokens UInt32,
    -- US dollars per million tokens.
    price_usd Decimal(38, 12),
    -- First day (UTC) on which it holds; 1970-01-01: ever since.
    valid_from Date,
    -- Name and version of the price list.
    source LowCardinality(String),
    noted_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (provider, model, response_model, pricing_tier, noted_at, token_class, valid_from, above_tokens);
