with events as (

    select
        *,
        -- What the detector saw; people and notifiers add events that say nothing new about the traffic.
        event in ('opened', 'updated', 'upgraded') as is_sighting
    from {{ source('llm', 'alerts') }}

),

latest as (

    select
        alert_id,
        argMin(events.tenant_id, events.occurred_at) as tenant_id,
        argMin(events.cohort, events.occurred_at) as cohort,
        argMaxIf(events.level, events.occurred_at, is_sighting) as level,
        argMaxIf(events.rule, events.occurred_at, is_sighting) as rule,
        argMaxIf(events.scope, events.occurred_at, is_sighting) as scope,
        argMaxIf(events.model, events.occurred_at, is_sighting) as model,
        argMaxIf(events.prompt_template_version, events.occurred_at, is_sighting) as prompt_template_version,
        argMaxIf(events.summary, events.occurred_at, is_sighting) as summary,
        argMaxIf(events.evidence, events.occurred_at, is_sighting) as evidence,
        multiIf(
            countIf(events.event = 'resolved') > 0, 'resolved',
            countIf(events.event = 'acknowledged') > 0, 'acknowledged',
            'open'
        ) as status,
        minIf(events.occurred_at, events.event = 'opened') as opened_at,
        maxIf(events.occurred_at, is_sighting) as last_seen_at,
        max(events.occurred_at) as updated_at,
        maxOrNullIf(events.occurred_at, events.event = 'resolved') as resolved_at,
        argMaxIf(events.actor, events.occurred_at, events.event = 'acknowledged') as acknowledged_by,
        argMaxIf(events.actor, events.occurred_at, events.event = 'resolved') as resolved_by,
        countIf(events.event = 'delivered') as deliveries,
        -- Empty while nothing went wrong since the last message that arrived.
        if(
            maxIf(events.occurred_at, events.event = 'delivery_failed')
            > maxIf(events.occurred_at, events.event = 'delivered'),
            argMaxIf(events.summary, events.occurred_at, events.event = 'delivery_failed'),
            ''
        ) as delivery_error
    from events
    group by alert_id

)

select * from latest
