-- Whose an outcome is: equal ids of traces and users of two tenants are two traces and two users. Empty where nobody said so
-- (as of rows from before this column): int_outcomes in dbt then asks who has the trace or the user.

ALTER TABLE business_outcomes ADD COLUMN IF NOT EXISTS tenant_id LowCardinality(String) FIRST;
