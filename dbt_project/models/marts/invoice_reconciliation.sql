-- What a provider billed beside what the recorded calls cost, and, where the two part ways, the class of
-- tokens whose wrong price gives the invoice.
with invoices as (

    select * from {{ ref('stg_provider_invoices') }}

),

spend as (

    select
        *,
        -- An invoice names the model that answered, or the one that was asked for.
        if(
            (provider, response_model) in (select tuple(invoices.provider, invoices.model) from invoices),
            response_model,
            model
        ) as invoiced_as
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
        sum(hypotheses.request_count) as requests,
        sumIf(hypotheses.request_count, not hypotheses.is_priced) as unpriced_requests,
        sum(hypotheses.cost_usd) as computed,
        {{ sum_if_all_known('hypotheses.reads_at_input_usd', 'hypotheses.is_priced') }} as reads_at_input,
        {{ sum_if_all_known('hypotheses.writes_at_input_usd', 'hypotheses.is_priced') }} as writes_at_input,
        {{ sum_if_all_known('hypotheses.without_output_usd', 'hypotheses.is_priced') }} as without_output,
        {{ sum_if_all_known('hypotheses.batch_as_standard', 'hypotheses.is_priced') }} as batch_as_standard
    from invoices
    inner join hypotheses
        on invoices.provider = hypotheses.provider and invoices.model = hypotheses.invoiced_as
    where hypotheses.day >= invoices.period_start and hypotheses.day < invoices.period_end
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
        lines.computed as computed_usd,
        lines.requests as request_count,
        lines.unpriced_requests as unpriced_count,
        invoiced.amount - ifNull(lines.computed, 0) as divergence_usd,
        if(invoiced.amount = 0, null, toFloat64(divergence_usd) / toFloat64(invoiced.amount))
            as divergence_share,
        [
            ('cache_read', computed_usd + lines.reads_at_input),
            ('cache_write', computed_usd + lines.writes_at_input),
            ('cache_read and cache_write', computed_usd + lines.reads_at_input + lines.writes_at_input),
            ('output', computed_usd + lines.without_output),
            ('batch', computed_usd + lines.batch_as_standard)
        ] as mistakes
    from invoiced
    left join lines using (provider, model, month)

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
                    tupleElement(mistake, 2) != computed_usd
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
        request_count,
        unpriced_count,
        divergence_usd,
        divergence_share,
        is_divergent,
        multiIf(
            not is_divergent, '',
            request_count = 0, 'no calls recorded',
            notEmpty(fitting), tupleElement(arrayElement(fitting, 1), 1),
            unpriced_count > 0 and divergence_usd > 0, 'unpriced calls',
            'unexplained'
        ) as explained_by,
        if(is_divergent and notEmpty(fitting), tupleElement(arrayElement(fitting, 1), 2), null)
            as explained_usd,
        transform(
            explained_by,
            ['cache_read', 'cache_write', 'cache_read and cache_write', 'output', 'batch'],
            [
                'cache reads billed at the full input rate',
                'cache writes billed at the input rate',
                'cache reads and cache writes billed at the input rate',
                'completion tokens not billed',
                'batch calls billed at the standard rate'
            ],
            explained_by
        ) as explanation
    from explained

)

select * from worded
