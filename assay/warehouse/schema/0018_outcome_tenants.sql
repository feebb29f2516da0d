-- Whose an outcome or a label is: equal ids of traces and users of two tenants are two traces and two users. Empty where
-- nobody said so (as of rows from before this column): dbt then asks who has the trace or the user (int_outcomes).

ALTER TABLE business_outcomes ADD COLUMN IF NOT EXISTS tenant_id LowCardinality(String) FIRST;
ALTER TABLE human_labels ADD COLUMN IF NOT EXISTS tenant_id LowCardinality(String) FIRST;
