-- The rate of a month is the last one that was published in it. A month without one has none: not the rate of
-- another month, and not 1.
with rates as (

    select * from {{ ref('stg_exchange_rates') }}

),

monthly as (

    select
        currency,
        toStartOfMonth(day) as month,
        argMax(rate, day) as exchange_rate,
        max(day) as exchange_rate_day
    from rates
    group by currency, month

)

select * from monthly
