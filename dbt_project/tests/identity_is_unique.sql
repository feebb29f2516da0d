-- A call is stored once, whatever was retried, re-batched or loaded twice (corrections are collapsed here).
select
    tenant_id,
    trace_id,
    span_id,
    count() as occurrences
from {{ ref('stg_llm_traces') }}
where ingested_at >= now('UTC') - interval {{ var('rollup_check_days') }} day
group by tenant_id, trace_id, span_id
having occurrences > 1
