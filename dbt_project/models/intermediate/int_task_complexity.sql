-- How much work a task is, beside others: the median time that people take for it over the median of all task
-- types. Medians of medians, so that a type that was measured often does not move the scale.
-- A type that nobody was timed at has the complexity that its calls have by the canonical examples they
-- are near to. Its units are the examples' own, so it is brought to the scale of human time by the types
-- that are known both ways (the median of their ratios); where there is none, 1 is the typical task type
-- of the examples, a scale of its own.
with task_times as (

    select * from {{ ref('stg_task_times') }}

),

examples as (

    select * from {{ ref('stg_canonical_examples') }}

),

estimates as (

    select * from {{ ref('stg_task_complexity_estimates') }}

),

by_type as (

    select
        task_type,
        {{ median_of('task_times.human_minutes') }} as median_minutes,
        if(
            count() > 1,
            quantileExactInclusive(0.75)(task_times.human_minutes)  -- noqa: LT01
            - quantileExactInclusive(0.25)(task_times.human_minutes),  -- noqa: LT01
            null
        ) as iqr_minutes,
        count() as samples
    from task_times
    group by task_type

),

scale as (

    select {{ median_of('median_minutes') }} as typical_minutes
    from by_type

),

timed as (

    select
        by_type.task_type as task_type,
        by_type.median_minutes / scale.typical_minutes as relative_complexity,
        by_type.iqr_minutes / scale.typical_minutes as relative_iqr,
        by_type.median_minutes as median_minutes,
        by_type.samples as samples
    from by_type
    cross join scale

),

anchor as (

    select
        count() as anchored_types,
        {{ median_of('timed.relative_complexity / estimates.complexity') }} as ratio
    from estimates
    inner join timed on estimates.task_type = timed.task_type

),

example_types as (

    select
        task_type,
        {{ median_of('examples.complexity') }} as median_complexity
    from examples
    group by task_type

),

typical_example as (

    select {{ median_of('median_complexity') }} as typical_complexity
    from example_types

),

unit as (

    select
        if(anchor.anchored_types > 0, 'human-time', 'examples') as unit_scale,
        if(anchor.anchored_types > 0, anchor.ratio, 1 / typical_example.typical_complexity) as factor
    from anchor
    cross join typical_example

),

by_human_time as (

    select
        timed.task_type as task_type,
        toDecimal64(timed.relative_complexity, 6) as task_complexity,
        'human-time' as complexity_source,
        'human-time' as complexity_scale,
        timed.samples as complexity_samples,
        toNullable(toDecimal64(timed.relative_iqr, 6)) as complexity_iqr,
        toNullable(timed.median_minutes) as human_minutes_p50
    from timed

),

by_examples as (

    select
        estimates.task_type as task_type,
        toDecimal64(estimates.complexity * unit.factor, 6) as task_complexity,
        'examples' as complexity_source,
        unit.unit_scale as complexity_scale,
        toUInt64(estimates.call_count) as complexity_samples,
        toNullable(toDecimal64(estimates.complexity_iqr * unit.factor, 6)) as complexity_iqr,
        cast(null as Nullable(Float64)) as human_minutes_p50
    from estimates
    cross join unit
    where estimates.task_type not in (select timed.task_type from timed)

)

select * from by_human_time
union all
select * from by_examples
