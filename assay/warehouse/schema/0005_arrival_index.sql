-- What arrived since it was last looked at: the newest parts hold it, and without this every part would be read.

ALTER TABLE llm_traces ADD INDEX IF NOT EXISTS ingested_at_range ingested_at TYPE minmax GRANULARITY 1;
ALTER TABLE llm_evaluations ADD INDEX IF NOT EXISTS ingested_at_range ingested_at TYPE minmax GRANULARITY 1;
ALTER TABLE end_user_feedback ADD INDEX IF NOT EXISTS ingested_at_range ingested_at TYPE minmax GRANULARITY 1;
ALTER TABLE business_outcomes ADD INDEX IF NOT EXISTS ingested_at_range ingested_at TYPE minmax GRANULARITY 1;
