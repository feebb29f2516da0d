-- How much work a task is, beside others: the median time that people take for it over the median of all task
-- types. Medians of medians, so that a type that was measured often does not move the scale.
with task_times as (

    select * from {{ ref('stg_task_times') }}

),

by_type as (

    select
        task_type,
        medianExact(task_times.human_minutes) as median_minutes,
        count() as samples
    from task_times
    group by task_type

),

scale as (

    select medianExact(median_minutes) as typical_minutes
    from by_type

),

relative as (

    select
        by_type.task_type as task_type,
        toDecimal64(by_type.median_minutes / scale.typical_minutes, 6) as task_complexity,
        'human-time' as complexity_source,
        by_type.samples as complexity_samples,
        by_type.median_minutes as human_minutes_p50
    from by_type
    cross join scale

)

select * from relative
