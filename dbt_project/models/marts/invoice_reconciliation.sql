-- What a provider billed beside what the recorded calls and the contracts say, and, where the two part ways,
-- the class of tokens, or the contract left out, that gives the invoice.
with invoices as (

    select * from {{ ref('stg_provider_invoices') }}

),

contracts as (

    select * from {{ ref('stg_provider_contracts') }}

),

named as (

    select * from invoices

),

capacity_days as (

    select * from {{ ref('int_provisioned_days') }}

),

credit_uses as (

    select
        *,
        {{ invoiced_as() }} as invoiced_as
    from {{ ref('int_credit_uses') }}

),

spend as (

    select
        *,
        {{ invoiced_as() }} as invoiced_as,
        is_metered and is_priced as is_billed_by_token
    from {{ ref('int_spend_rated') }}

),

hypotheses as (

    select
        *,
        -- What each mistake adds to the cost of these calls. NULL: not known, because a rate is not.
        {{ tokens_at('cache_read_tokens', 'input_usd - cache_read_usd') }}
            as reads_at_input_usd,
        {{ tokens_at('cache_write_5m_tokens', 'input_usd - cache_write_5m_usd') }}
        + {{ tokens_at('cache_write_1h_tokens', 'input_usd - cache_write_1h_usd') }}
            as writes_at_input_usd,
        -{{ tokens_at('completion_tokens', 'output_usd') }} as without_output_usd,
        -- Where nothing was called at the standard tier, by what a batch saves.
        if(
            pricing_tier = 'batch',
            ifNull(
                {{ cost_at('standard_') }},
                cost_usd / toDecimal128('{{ var("batch_price_share") }}', 4)
            ) - cost_usd,
            toDecimal128(0, 12)
        ) as batch_as_standard
    from spend

),

lines as (

    select
        invoices.provider as provider,
        invoices.model as model,
        toStartOfMonth(invoices.period_start) as month,
        -- What provisioned capacity served is billed by its contract.
        sumIf(hypotheses.request_count, hypotheses.contract_id = '') as requests,
        sumIf(
            hypotheses.request_count,
            hypotheses.contract_id = '' and not hypotheses.is_billed_by_token
        ) as unpriced_requests,
        sumIf(hypotheses.cost_usd, hypotheses.is_metered) as metered,
        sumIf(ifNull(hypotheses.cost_usd, 0), hypotheses.contract_id != '') as served_usd,
        {{ sum_if_all_known('hypotheses.reads_at_input_usd', 'hypotheses.is_billed_by_token') }}
            as reads_at_input,
        {{ sum_if_all_known('hypotheses.writes_at_input_usd', 'hypotheses.is_billed_by_token') }}
            as writes_at_input,
        {{ sum_if_all_known('hypotheses.without_output_usd', 'hypotheses.is_billed_by_token') }}
            as without_output,
        {{ sum_if_all_known('hypotheses.batch_as_standard', 'hypotheses.is_billed_by_token') }}
            as batch_as_standard
    from invoices
    inner join hypotheses
        on invoices.provider = hypotheses.provider and invoices.model = hypotheses.invoiced_as
    where hypotheses.day >= invoices.period_start and hypotheses.day < invoices.period_end
    group by provider, model, month

),

-- A line of capacity names its contract; where no line does, it is the one with the contract's own words for
-- the model.
capacity as (

    select
        invoices.provider as provider,
        invoices.model as model,
        toStartOfMonth(invoices.period_start) as month,
        sum(days.amount_usd) as due
    from invoices
    inner join capacity_days as days on invoices.provider = days.provider
    inner join contracts on days.contract_id = contracts.contract_id
    where
        invoices.model = if(
            (days.provider, days.contract_id) in (select tuple(named.provider, named.model) from named),
            contracts.contract_id,
            contracts.model
        )
        and days.day >= invoices.period_start
        and days.day < invoices.period_end
    group by provider, model, month

),

credits as (

    select
        invoices.provider as provider,
        invoices.model as model,
        toStartOfMonth(invoices.period_start) as month,
        -sum(uses.used_usd) as credit
    from invoices
    inner join credit_uses as uses on invoices.provider = uses.provider
    where
        invoices.model = uses.invoiced_as
        and uses.day >= invoices.period_start
        and uses.day < invoices.period_end
    group by provider, model, month

),

invoiced as (

    select
        provider,
        model,
        toStartOfMonth(period_start) as month,
        sum(invoices.invoiced_usd) as amount
    from invoices
    group by provider, model, month

),

compared as (

    select
        month,
        provider,
        model,
        invoiced.amount as invoiced_usd,
        capacity.due as provisioned_usd,
        -- NULL: no call has a price, and no capacity is billed here.
        if(
            isNull(lines.metered) and provisioned_usd = 0,
            null,
            ifNull(lines.metered, toDecimal128(0, 12)) + provisioned_usd
        ) as computed_usd,
        credits.credit as credit_usd,
        computed_usd + credit_usd as net_usd,
        lines.requests as request_count,
        lines.unpriced_requests as unpriced_count,
        invoiced.amount - ifNull(net_usd, 0) as divergence_usd,
        if(invoiced.amount = 0, null, toFloat64(divergence_usd) / toFloat64(invoiced.amount))
            as divergence_share,
        [
            ('cache_read', net_usd + lines.reads_at_input),
            ('cache_write', net_usd + lines.writes_at_input),
            ('cache_read and cache_write', net_usd + lines.reads_at_input + lines.writes_at_input),
            ('output', net_usd + lines.without_output),
            ('batch', net_usd + lines.batch_as_standard),
            ('credit', computed_usd),
            ('provisioned', net_usd + lines.served_usd)
        ] as mistakes
    from invoiced
    left join lines using (provider, model, month)
    left join capacity using (provider, model, month)
    left join credits using (provider, model, month)

),

explained as (

    select
        *,
        ifNull(abs(divergence_share) > {{ var('invoice_divergence_share') }}, divergence_usd != 0)
            as is_divergent,
        -- Those that change something and give the invoice closely; the closest first.
        arraySort(
            mistake -> abs(invoiced_usd - assumeNotNull(tupleElement(mistake, 2))),
            arrayFilter(
                mistake -> ifNull(
                    tupleElement(mistake, 2) != net_usd
                    and abs(toFloat64(invoiced_usd - tupleElement(mistake, 2)))
                    <= {{ var('invoice_explained_share') }} * toFloat64(invoiced_usd),
                    false
                ),
                mistakes
            )
        ) as fitting
    from compared

),

worded as (

    select
        month,
        provider,
        model,
        invoiced_usd,
        computed_usd,
        provisioned_usd,
        credit_usd,
        net_usd,
        request_count,
        unpriced_count,
        divergence_usd,
        divergence_share,
        is_divergent,
        multiIf(
            not is_divergent, '',
            request_count = 0 and provisioned_usd = 0, 'no calls recorded',
            notEmpty(fitting), tupleElement(arrayElement(fitting, 1), 1),
            unpriced_count > 0 and divergence_usd > 0, 'unpriced calls',
            'unexplained'
        ) as explained_by,
        if(is_divergent and notEmpty(fitting), tupleElement(arrayElement(fitting, 1), 2), null)
            as explained_usd,
        transform(
            explained_by,
            [
                'cache_read',
                'cache_write',
                'cache_read and cache_write',
                'output',
                'batch',
                'credit',
                'provisioned'
            ],
            [
                'cache reads billed at the full input rate',
                'cache writes billed at the input rate',
                'cache reads and cache writes billed at the input rate',
                'completion tokens not billed',
                'batch calls billed at the standard rate',
                'credits not taken off',
                'calls of provisioned capacity billed by the token too'
            ],
            explained_by
        ) as explanation
    from explained

)

select * from worded
