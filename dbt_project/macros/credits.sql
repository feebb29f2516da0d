{#- Which part of which spend each credit paid. By months, in order of expiry: of what is left of the month's eligible -#}
{#- spend a credit pays all that it can, in equal shares, and what is left of the credit goes on to the next month. -#}
{%- macro credit_uses(contracts, spend) -%}
with credits as (

    {{ contract_list(contracts, 'credit', 'valid_before, valid_from, contract_id') }}

),

spend as (

    select
        *,
        {{ pico('assumeNotNull(cost_usd)') }} as pico,
        -- Numbers of the credits that may pay it.
        arrayFilter(
            (number, c) -> {{ is_about('c') }} and c.5 in ('', pricing_tier),
            arrayEnumerate((select credits.list from credits)),
            (select credits.list from credits)
        ) as eligible
    from {{ spend }}
    where
        is_metered
        and cost_usd > 0
        and day >= (select arrayMin(c -> c.6, credits.list) from credits)
        and notEmpty(eligible)

),

-- Rows of a month that the same credits may pay are one to them.
classes as (

    select
        month,
        eligible,
        sum(pico) as class_pico
    from spend
    group by month, eligible

),

-- Beside one another, months in order: where each class's month begins and ends among them.
side_by_side as (

    select
        arraySort(groupArray((month, eligible, class_pico))) as each,
        arrayMap(c -> c.1, each) as months,
        arrayMap(c -> indexOf(months, c.1), each) as begins,
        arrayMap(c -> toUInt32(length(months) + 1 - indexOf(arrayReverse(months), c.1)), each) as ends
    from classes

),

-- Credit by credit: what is left of every class, and what each credit paid of it before.
paid as (

    select
        each,
        arrayFold(
            (state, credit, number) -> arrayMap(
                use -> (arrayMap((rest, part) -> rest - part, state.1, use), arrayPushBack(state.2, use)),
                [
                    -- (What is left to this credit, its sum to here) of every class; then its part of each.
                    arrayMap(
                        (open, sums) -> arrayMap(
                            (size, upto, begin, end) -> {{ part_of(
                                'greatest(least(credit.8 - sums[begin], sums[end + 1] - sums[begin]), toInt256(0))',
                                'size', 'upto - sums[begin]', '(sums[end + 1] - sums[begin])') }},
                            open, arrayPopFront(sums), begins, ends
                        ),
                        [arrayMap((rest, class) -> if(has(class.2, number), rest, toInt256(0)), state.1, each)],
                        [arrayPushFront(
                            arrayCumSum(arrayMap((rest, class) -> if(has(class.2, number), rest, toInt256(0)), state.1, each)),
                            toInt256(0)
                        )]
                    )[1]
                ]
            )[1],
            (select credits.list from credits),
            arrayEnumerate((select credits.list from credits)),
            (arrayMap(c -> c.3, each), cast([], 'Array(Array(Int256))'))
        ).2 as uses
    from side_by_side

),

class_uses as (

    select
        number,
        class.1 as month,
        class.2 as eligible,
        part,
        -- Of the class, by this credit and those before it.
        sum(part) over (partition by month, eligible order by number rows between unbounded preceding and current row)
            as part_upto
    from (
        select
            arrayJoin(arrayZip(arrayEnumerate(uses), uses)) as credit,
            arrayJoin(arrayZip(each, credit.2)) as pair,
            credit.1 as number,
            pair.1 as class,
            pair.2 as part
        from paid
    )
    where part != 0

),

laid_out as (

    select
        *,
        sum(pico) over (
            partition by month, eligible
            order by day, tenant_month, tenant_id, provider, model, response_model, pricing_tier
            rows between unbounded preceding and current row
        ) as upto,
        sum(pico) over (partition by month, eligible) as class_pico
    from spend

),

shared as (

    select
        (select credits.list from credits)[class_uses.number].1 as contract_id,
        laid_out.day as day,
        laid_out.month as month,
        laid_out.tenant_month as tenant_month,
        laid_out.tenant_id as tenant_id,
        laid_out.provider as provider,
        laid_out.model as model,
        laid_out.response_model as response_model,
        laid_out.pricing_tier as pricing_tier,
        -- All credits together never pay more than the spend: what they pay is the part of their sum, less that of
        -- the sum before.
        {{ part_of('class_uses.part_upto', 'laid_out.pico', 'laid_out.upto', 'laid_out.class_pico') }}
        - {{ part_of('(class_uses.part_upto - class_uses.part)', 'laid_out.pico', 'laid_out.upto', 'laid_out.class_pico') }}
            as share_pico
    from laid_out
    inner join class_uses on laid_out.month = class_uses.month and laid_out.eligible = class_uses.eligible

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
    {{ usd('share_pico') }} as used_usd
from shared
{%- endmacro -%}
