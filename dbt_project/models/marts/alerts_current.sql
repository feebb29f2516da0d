with events as (

    select * from {{ source('llm', 'alerts') }}

),

latest as (

    select
        alert_id,
        argMin(events.tenant_id, events.occurred_at) as tenant_id,
        argMax(events.level, (events.event in ('opened', 'updated', 'upgraded'), events.occurred_at)) as level,
        argMax(events.rule, (events.event in ('opened', 'updated', 'upgraded'), events.occurred_at)) as rule,
        argMin(events.scope, events.occurred_at) as scope,
        argMin(events.model, events.occurred_at) as model,
        argMin(events.prompt_template_version, events.occurred_at) as prompt_template_version,
        argMin(events.cohort, events.occurred_at) as cohort,
        argMax(events.summary, (events.event in ('opened', 'updated', 'upgraded'), events.occurred_at)) as summary,
        argMax(events.evidence, (events.event in ('opened', 'updated', 'upgraded'), events.occurred_at)) as evidence,
        multiIf(
            countIf(events.event = 'resolved') > 0, 'resolved',
            countIf(events.event = 'acknowledged') > 0, 'acknowledged',
            'open'
        ) as status,
        minIf(events.occurred_at, events.event = 'opened') as opened_at,
        max(events.occurred_at) as updated_at,
        maxOrNullIf(events.occurred_at, events.event = 'resolved') as resolved_at,
        argMaxIf(events.actor, events.occurred_at, events.event = 'acknowledged') as acknowledged_by,
        countIf(events.event = 'delivered') as deliveries
    from events
    group by alert_id

)

select * from latest
