-- What was used of each capacity, shared out by tokens as it counts them: to the calls of every day, tenant
-- and model.
with served as (

    select
        *,
        toInt64({{ all_tokens() }}) as tokens,
        toInt256(counted_tokens * 1000000) as counted_micro
    from {{ ref('int_spend_served') }}
    where contract_id != ''

),

months as (

    select
        *,
        {{ pico('used_usd') }} as used_pico
    from {{ ref('int_provisioned_months') }}

),

laid_out as (

    select
        *,
        sum(counted_micro) over (
            partition by contract_id, month
            order by day, tenant_month, tenant_id, provider, model, response_model, pricing_tier, is_priced
            rows between unbounded preceding and current row
        ) as upto,
        sum(counted_micro) over (partition by contract_id, month) as month_micro
    from served

),

shared as (

    select
        laid_out.contract_id as contract_id,
        laid_out.day as day,
        laid_out.month as month,
        laid_out.tenant_month as tenant_month,
        laid_out.tenant_id as tenant_id,
        laid_out.provider as provider,
        laid_out.model as model,
        laid_out.response_model as response_model,
        laid_out.pricing_tier as pricing_tier,
        laid_out.is_priced as is_priced,
        laid_out.request_count as request_count,
        laid_out.tokens as tokens,
        laid_out.uncached_tokens as uncached_tokens,
        laid_out.cache_read_tokens as cache_read_tokens,
        laid_out.cache_write_5m_tokens as cache_write_5m_tokens,
        laid_out.cache_write_1h_tokens as cache_write_1h_tokens,
        laid_out.completion_tokens as completion_tokens,
        laid_out.counted_tokens as counted_tokens,
        laid_out.cost_usd as list_usd,
        {{ part_of('months.used_pico', 'laid_out.counted_micro', 'laid_out.upto', 'laid_out.month_micro') }}
            as share_pico
    from laid_out
    inner join months on laid_out.contract_id = months.contract_id and laid_out.month = months.month

)

select
    contract_id,
    day,
    month,
    tenant_month,
    tenant_id,
    provider,
    model,
    response_model,
    pricing_tier,
    is_priced,
    request_count,
    tokens,
    uncached_tokens,
    cache_read_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    completion_tokens,
    counted_tokens,
    list_usd,
    {{ usd('share_pico') }} as effective_usd
from shared
