-- Which response of a provider a call got: what two instrumentations that tell of one call have in common, and what a
-- provider's own log of usage names. `ingest_identity` has, by tenant and minute, which responses are billed for (kinds
-- `response` and `response_released`).

ALTER TABLE llm_traces
    ADD COLUMN IF NOT EXISTS response_id String CODEC(ZSTD(1)) AFTER response_model,
    -- `parent`: it repeats the usage of spans inside it; `twin`: another span tells of the same response and is billed.
    -- Empty where it is billed. Of rows from before this column only parents are not.
    ADD COLUMN IF NOT EXISTS unbilled_reason LowCardinality(String) DEFAULT if(billed, '', 'parent') AFTER billed;
