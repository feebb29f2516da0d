-- How provisioned capacity counts tokens: an output token of some models takes as much of it as several of the prompt, and
-- what is read from the cache may take none.
ALTER TABLE provider_contracts
    ADD COLUMN IF NOT EXISTS output_weight Decimal(38, 12) DEFAULT 1 AFTER tokens_per_minute,
    ADD COLUMN IF NOT EXISTS cache_read_weight Decimal(38, 12) DEFAULT 1 AFTER output_weight;
