{{ config(enabled=var('otel_database') != '') }}
{%- set calls = otel_names()['calls'] %}
{%- set values = otel_names()['values'] %}

-- The exporter's columns are in camel case.
-- noqa: disable=capitalisation.identifiers

-- One row per call of a model in the table of the OpenTelemetry Collector's ClickHouse exporter, in the names
-- of this project: for comparing what it has with what was counted. Filter by called_at.
with source as (

    select * from {{ source('otel', 'otel_traces') }}
    where hasAny(mapKeys(SpanAttributes), [{{ otel_listed(calls['names']) }}])

),

described as (

    select
        *,
        {{ otel_text('operation') }} as operation,
        upper({{ otel_text('openinference_kind') }}) as openinference_kind,
        {{ otel_text('traceloop_kind') }} as traceloop_kind,
        {{ otel_text('request_type') }} != '' as has_request_type,
        -- Some write the class itself, some its name.
        replaceRegexpOne({{ otel_text('error_type') }}, '^<class ''(.*)''>$', '\\1') as error_type,
        {{ otel_text('finish_reason') }} as finish_reasons,
        SpanAttributes['{{ values['response'][0] }}'] as response,
        coalesce(
            nullIf({{ otel_text('response_id') }}, ''),
            if(
                JSONHas(response, 'model') and JSONHas(response, 'usage'),
                trimBoth(JSONExtractString(response, 'id')),
                ''
            )
        ) as said_response_id,
        lower({{ otel_text('provider') }}) as provider_word,
        lower({{ otel_text('pricing_tier') }}) as pricing_tier_word,
        {{ otel_text('excludes_cache', ['SpanAttributes', 'ResourceAttributes']) }} as excludes_cache,
        {{ otel_count('prompt') }} as prompt,
        {{ otel_count('completion') }} as completion,
        {{ otel_count('cached') }} as cached,
        coalesce({{ otel_count('cache_write') }}, {{ otel_count('cache_write_1h') }}) as cache_write,
        {{ otel_count('cache_write_1h') }} as cache_write_1h,
        {{ otel_count('reasoning') }} as reasoning,
        {{ otel_count('total') }} as total,
        ifNull(cached, 0) + ifNull(cache_write, 0) as cache,
        {{ otel_are_counts() }} as are_counts,
        multiIf(
            {{ otel_text('status') }} != '', {{ otel_text('status') }},
            lower(error_type) in {{ otel_words(values['aborted']) }}, 'aborted',
            StatusCode in ('Error', 'STATUS_CODE_ERROR') or error_type != '', 'error',
            'ok'
        ) as status,
        if(toInt64(Duration) between 1 and 86400000000000, toInt64(Duration) / 1e6, null) as latency_ms,
        arrayFilter(
            (time, name) -> name in {{ otel_words(values['first_token']) }},
            Events.Timestamp,
            Events.Name
        ) as first_token_times,
        coalesce(
            {{ otel_ttft_ms() }},
            if(
                notEmpty(first_token_times) and arrayMin(first_token_times) >= Timestamp,
                (toUnixTimestamp64Nano(arrayMin(first_token_times)) - toUnixTimestamp64Nano(Timestamp))
                / 1e6,
                null
            )
        ) as first_token_ms
    from source

),

-- Agents, tools and workflows repeat the usage of the calls inside them, and are none.
calls as (

    select *
    from described
    where
        operation not in {{ otel_words(calls['around']) }}
        and (operation not in {{ otel_words(calls['agent']) }} or SpanKind in ('Client', 'SPAN_KIND_CLIENT'))
        and (openinference_kind = '' or openinference_kind in {{ otel_words(calls['kinds']) }})
        and traceloop_kind not in {{ otel_words(calls['around_kinds']) }}
        and (
            operation in {{ otel_words(calls['inference']) }}
            or openinference_kind != ''
            or has_request_type
            or prompt is not null
            or completion is not null
        )

),

-- Prompt tokens include the cache, completion tokens the reasoning: where a source leaves them out, its own
-- numbers say so.
counted as (

    select
        *,
        (prompt is not null or completion is not null or status != 'ok') and are_counts as has_usage,
        ifNull(prompt, 0) as said_prompt,
        ifNull(completion, 0) as said_completion,
        ifNull(reasoning, 0) as thought,
        multiIf(
            excludes_cache != '', lower(excludes_cache) = 'true',
            cache > 0
            and (cache > said_prompt or ifNull(total = said_prompt + cache + said_completion, false))
        ) as is_cache_apart,
        thought > said_completion
        or (
            thought > 0 and ifNull(total = said_prompt + said_completion + thought, false)
        ) as is_thought_apart
    from calls

),

renamed as (

    select
        coalesce(
            nullIf({{ otel_text('tenant', ['SpanAttributes', 'ResourceAttributes']) }}, ''),
            nullIf('{{ var('otel_tenant') }}', ''),
            nullIf({{ otel_text('gateway_tenant') }}, ''),
            nullIf({{ otel_text('service', 'ResourceAttributes') }}, ''),
            nullIf(ServiceName, ''),
            'default'
        ) as tenant_id,
        TraceId as trace_id,
        SpanId as span_id,
        if(replaceAll(ParentSpanId, '0', '') = '', '', ParentSpanId) as parent_span_id,
        {{ otel_text('session_id') }} as session_id,
        {{ otel_text('user_id') }} as user_id,
        toDateTime64(Timestamp, 6, 'UTC') as called_at,
        coalesce(
            nullIf({{ otel_text('model') }}, ''),
            nullIf({{ otel_text('response_model') }}, ''),
            JSONExtractString(SpanAttributes['{{ values['parameters'][0] }}'], 'model')
        ) as model,
        {{ otel_text('response_model') }} as response_model,
        if(lengthUTF8(said_response_id) <= 512, said_response_id, '') as response_id,
        {{ otel_provider('provider_word') }} as provider,
        {{ otel_translated('pricing_tier_word', values['pricing_tiers'], "'standard'") }} as pricing_tier,
        coalesce(
            nullIf({{ otel_text('template_version') }}, ''),
            nullIf(
                arrayStringConcat(
                    arrayFilter(
                        part -> part != '',
                        [{{ otel_text('template_name') }}, {{ otel_text('template_number') }}]
                    ),
                    '-'
                ),
                ''
            ),
            {{ otel_text('template_version', 'ResourceAttributes') }}
        ) as prompt_template_version,
        {{ otel_text('task_type', ['SpanAttributes', 'ResourceAttributes']) }} as task_type,
        {{ otel_text('experiment_id', ['SpanAttributes', 'ResourceAttributes']) }} as experiment_id,
        {{ otel_text('experiment_variant', ['SpanAttributes', 'ResourceAttributes']) }} as experiment_variant,
        {{ otel_text('environment', ['SpanAttributes', 'ResourceAttributes']) }} as environment,
        status,
        error_type,
        if(startsWith(finish_reasons, '['), JSONExtractString(finish_reasons, 1), finish_reasons)
            as finish_reason,
        if(has_usage, said_prompt + if(is_cache_apart, cache, 0), null) as prompt_tokens,
        if(has_usage, said_completion + if(is_thought_apart, thought, 0), null) as completion_tokens,
        cached as cached_tokens,
        cache_write as cache_write_tokens,
        cache_write_1h as cache_write_1h_tokens,
        reasoning as reasoning_tokens,
        toDecimal128OrNull({{ otel_text('cost') }}, 12) as reported_cost_usd,
        latency_ms,
        if(first_token_ms between 0 and ifNull(latency_ms, 86400000), first_token_ms, null) as ttft_ms,
        SpanName as span_name,
        ServiceName as service_name
    from counted

)

select * from renamed
