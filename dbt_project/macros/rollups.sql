{#- The rollups, written once: minute, hour and day differ in nothing but the period. -#}
{#- Each reads the rows of an insert itself. A chain (minute feeds hour, hour feeds day) has to add up maps, which -#}
{#- costs more than counting the rows again: with sparse series, five times as much. -#}

{%- macro series() -%}
tenant_id, model, prompt_template_version, task_type, cohort
{%- endmacro -%}

{#- Sums of `llm_kpi_*`: an hour is the sum of its minutes. -#}
{%- macro kpi_sums() -%}
{{ return([
    'request_count', 'error_count', 'aborted_count', 'priced_count', 'unpriced_count',
    'cost_usd', 'reported_cost_usd', 'prompt_tokens', 'completion_tokens',
    'cached_tokens', 'cache_write_tokens', 'reasoning_tokens', 'cacheable_prompt_tokens',
]) }}
{%- endmacro -%}

{#- Histograms of `llm_kpi_*`: counts by bucket, read with `assay_quantile` (see the numbered schema). -#}
{%- macro kpi_histograms() -%}
{{ return([
    'cost_histogram', 'latency_histogram', 'ttft_histogram', 'velocity_histogram', 'completion_ratio_histogram',
]) }}
{%- endmacro -%}

{#- What `llm_kpi_cubes` has of these. -#}
{%- macro cube_histograms() -%}
{{ return(['cost_histogram', 'latency_histogram', 'velocity_histogram']) }}
{%- endmacro -%}

{#- What `llm_kpi_cubes` adds up by: everything is the sum over the models, of which there are few. -#}
{%- macro cubes() -%}
{{ return(['tenant_id', 'model', 'prompt_template_version']) }}
{%- endmacro -%}

{%- macro grains() -%}
{{ return({'1min': 'toStartOfMinute', '1h': 'toStartOfHour', '1d': 'toStartOfDay'}) }}
{%- endmacro -%}

{#- `start_of` is the function that gives the start of the period. Without it, the rollup has every period, and adds up -#}
{#- by the dimensions of `cubes` each alone. -#}
{%- macro kpi_rollup(raw, start_of=none, expires=false) -%}
{%- set cubed = start_of is none -%}
{%- set keys = 'grain, dimension, cohort, ' ~ cubes() | join(', ') if cubed else series() -%}
with traces as (

    -- Read from the table itself: a view in between would not trigger on inserts.
    select
        *,
        cohort,
        -- Streaming time is what follows the first token, where that is known.
        (latency_ms - ifNull(ttft_ms, 0)) / 1000 as streaming_seconds,
        if(streaming_seconds > 0, completion_tokens / streaming_seconds, null) as token_velocity,
        if(prompt_tokens > 0, completion_tokens / prompt_tokens, null) as completion_ratio
        {%- if cubed %}
        {%- for grain, start in grains().items() %},
        {{ start }}(timestamp) as start_{{ grain }}
        {%- endfor %}
        {%- endif %}
    from {{ raw }}
    -- A parent that repeats the usage of its children is kept, and never counted.
    where billed

),

-- Grouped by sign too, so that the buckets of a correction's two halves are counted apart.
grouped as (

    select
        {%- if cubed %}
        multiIf(
            {%- for grain in grains() %}
            grouping(start_{{ grain }}) = 0, '{{ grain }}',
            {%- endfor %}
            ''
        ) as grain,
        multiIf(
            {%- for grain in grains() %}
            grain = '{{ grain }}', toDateTime(start_{{ grain }}, 'UTC'),
            {%- endfor %}
            toDateTime(0, 'UTC')
        ) as period_start,
        multiIf(
            {%- for name in cubes() %}
            grouping({{ name }}) = 0, '{{ name }}',
            {%- endfor %}
            ''
        ) as dimension,
        cohort,
        {%- for name in cubes() %}
        {{ name }},
        {%- endfor %}
        {%- else %}
        {{ start_of }}(timestamp) as period_start,
        {{ series() }},
        {%- endif %}
        sign,
        sumSimpleState(toInt64(sign)) as request_count,
        sumSimpleState(toInt64(sign * (status = 'error'))) as error_count,
        sumSimpleState(toInt64(sign * (status = 'aborted'))) as aborted_count,
        sumSimpleState(toInt64(sign * (cost_status != 'unpriced'))) as priced_count,
        sumSimpleState(toInt64(sign * (cost_status = 'unpriced'))) as unpriced_count,
        sumSimpleState(sign * traces.cost_usd) as cost_usd,
        sumSimpleState(sign * traces.reported_cost_usd) as reported_cost_usd,
        sumSimpleState(sign * toInt64(traces.prompt_tokens)) as prompt_tokens,
        sumSimpleState(sign * toInt64(traces.completion_tokens)) as completion_tokens,
        sumSimpleState(sign * toInt64(traces.cached_tokens)) as cached_tokens,
        sumSimpleState(sign * toInt64(traces.cache_write_tokens)) as cache_write_tokens,
        sumSimpleState(sign * toInt64(traces.reasoning_tokens)) as reasoning_tokens,
        sumSimpleState(if(isNull(traces.cached_tokens), 0, sign * toInt64(traces.prompt_tokens)))
            as cacheable_prompt_tokens,
        {{ buckets_of('toFloat64(traces.cost_usd)') }} as cost_buckets,
        {{ buckets_of('traces.latency_ms') }} as latency_buckets,
        {%- if not cubed %}
        {{ buckets_of('traces.ttft_ms') }} as ttft_buckets,
        {{ buckets_of('traces.completion_ratio') }} as completion_ratio_buckets,
        {%- endif %}
        {{ buckets_of('traces.token_velocity') }} as velocity_buckets
        {%- if expires %},
        -- From when its retention counts: live, the day of the call; history, the day on which it was loaded.
        maxSimpleState(greatest(traces.retention_start, toDate(timestamp))) as retention_start
        {%- endif %}
    from traces
    {%- if cubed %}
    group by grouping sets (
        {%- for grain in grains() %}
        {%- set last_grain = loop.last %}
        {%- for name in cubes() %}
        (start_{{ grain }}, cohort, sign, {{ name }}){% if not (loop.last and last_grain) %},{% endif %}
        {%- endfor %}
        {%- endfor %}
    )
    {%- else %}
    group by period_start, {{ series() }}, sign
    {%- endif %}

)

select
    period_start,
    {{ keys }},
    {%- for name in kpi_sums() %}
    {{ name }},
    {%- endfor %}
    {%- for name in (cube_histograms() if cubed else kpi_histograms()) %}
    {{ counts_by_bucket(name | replace('_histogram', '_buckets'), 'sign') }} as {{ name }}{% if not loop.last %},{% endif %}
    {%- endfor %}
    {%- if expires %},
    retention_start
    {%- endif %}
from grouped
{%- endmacro -%}

{%- macro quality_rollup(raw, start_of, expires=false) -%}
with evaluations as (

    select
        *,
        cohort,
        -- Inverse of the sampling rate: what makes a stratified sample unbiased.
        if(isNull(score), 0, 1 / sampling_rate) as weight
    from {{ raw }}

)

select
    {{ start_of }}(span_timestamp) as period_start,
    {{ series() }},
    evaluator,
    evaluator_version,
    sumSimpleState(toInt64(sign * isNotNull(score))) as evaluation_count,
    sumSimpleState(toInt64(sign * isNull(score))) as unknown_count,
    sumSimpleState(sign * weight) as score_weight,
    sumSimpleState(sign * ifNull(score, 0) * weight) as weighted_score,
    -- Counts are whole numbers: a thousandth is finer than any sampling rate in use.
    sumMapSimpleState(
        if(
            isNull(score),
            map(),
            map(assay_score_bucket(assumeNotNull(score)), toInt64(sign * round(1000 * weight)))
        )
    ) as score_histogram
    {%- if expires %},
    -- From when its retention counts: live, the day of the call; history, the day on which it was loaded.
    maxSimpleState(greatest(evaluations.retention_start, toDate(span_timestamp))) as retention_start
    {%- endif %}
from evaluations
group by period_start, {{ series() }}, evaluator, evaluator_version
{%- endmacro -%}

{#- The buckets of a value in ascending order, one for each row that has it. Zero stands in where it is unknown: the -#}
{#- bucket is computed for those rows, too, and what lies under a NULL (x / 0) has none, which fails the insert. -#}
{%- macro buckets_of(value) -%}
arraySort(groupArrayIf(assay_bucket(ifNull({{ value }}, 0)), isNotNull({{ value }})))
{%- endmacro -%}

{#- How often each bucket occurs in a sorted array, times `sign`. Runs are counted by where they start, which takes -#}
{#- a fifth of the time of a sumMap over one map a row. -#}
{%- macro counts_by_bucket(sorted, sign) -%}
cast(
    mapFromArrays(
        arrayCompact({{ sorted }}),
        arrayMap(
            occurrences -> {{ sign }} * occurrences,
            arrayPopFront(arrayDifference(arrayPushBack(
                arrayFilter(
                    (i, step) -> i = 1 or step != 0, arrayEnumerate({{ sorted }}), arrayDifference({{ sorted }})
                ),
                length({{ sorted }}) + 1
            )))
        )
    ) as SimpleAggregateFunction(sumMap, Map(Int16, Int64))
)
{%- endmacro -%}
