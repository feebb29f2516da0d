{#- The first of the attributes that is there, as text; empty where none is. `maps` is one map, or several in order. -#}
{%- macro otel_text(field, maps='SpanAttributes') -%}
{%- set found = [] -%}
{%- for map in ([maps] if maps is string else maps) -%}
    {%- for name in otel_names()['rows'][field] -%}
        {%- do found.append("nullIf(trim(" ~ map ~ "['" ~ name ~ "']), '')") -%}
    {%- endfor -%}
{%- endfor -%}
coalesce({{ found | join(', ') }}, '')
{%- endmacro -%}

{#- A count of tokens. NULL: the span has none of its names. -#}
{%- macro otel_count(class) -%}
toUInt64OrNull({{ otel_text('tokens.' ~ class) }})
{%- endmacro -%}

{#- Whether what stands under the names of counts is one, each. -#}
{%- macro otel_are_counts() -%}
{%- set found = [] -%}
{%- for class in ('prompt', 'completion', 'cached', 'cache_write', 'cache_write_1h', 'reasoning', 'total') -%}
    {%- do found.append("(" ~ otel_text('tokens.' ~ class) ~ " = '' or " ~ otel_count(class) ~ " is not null)") -%}
{%- endfor -%}
{{ found | join(' and ') }}
{%- endmacro -%}

{#- Words, each between quotes, a line for each. -#}
{%- macro otel_listed(words) -%}
{%- for word in words %}
        '{{ word }}'{{ ',' if not loop.last }}
{%- endfor %}
    {% endmacro -%}

{#- A list of words for `in`. -#}
{%- macro otel_words(words) -%}
('{{ words | join("', '") }}')
{%- endmacro -%}

{#- What a word of a source's is called here. -#}
{%- macro otel_translated(word, words, otherwise) -%}
transform({{ word }}, ['{{ words.keys() | join("', '") }}'], ['{{ words.values() | join("', '") }}'], {{ otherwise }})
{%- endmacro -%}

{#- A provider as Assay calls it, also with what the AI SDK and LiteLLM put behind its name. -#}
{%- macro otel_provider(word) -%}
{%- set known = otel_names()['values']['providers'] -%}
{%- set suffix = otel_names()['values']['provider_suffix'] | replace('\\', '\\\\') -%}
{%- set bare = "replaceRegexpOne(" ~ word ~ ", '" ~ suffix ~ "', '')" -%}
{{ otel_translated(word, known, otel_translated(bare, known, word)) }}
{%- endmacro -%}

{#- Milliseconds to the first token, as an attribute says, each in its own unit. NULL: none does. -#}
{%- macro otel_ttft_ms() -%}
{%- set found = [] -%}
{%- for name, milliseconds in otel_names()['values']['ttft_ms'].items() -%}
    {%- do found.append("toFloat64OrNull(SpanAttributes['" ~ name ~ "']) * " ~ milliseconds) -%}
{%- endfor -%}
coalesce({{ found | join(', ') }})
{%- endmacro -%}
