{#- A provider by the one name that Assay has for it, from a column of few distinct names. Calls that were stored before there -#}
{#- was one have the price list's, or what their sender said; invoices and contracts never had these. -#}

{#- As `otel_provider`, in functions of one argument each: these are computed once a name, not once a row. So what stands -#}
{#- behind a name is only taken off where the rest is one. -#}
{%- macro provider_name(provider) -%}
{%- set known = otel_names()['values']['providers'] -%}
{%- set names = known | join('|') | replace('.', '\\.') -%}
{%- set named = ('^(' ~ names ~ ')' ~ otel_names()['values']['provider_suffix']) | replace('\\', '\\\\') -%}
{%- set first = provider_by_names('lower(trimBoth(' ~ provider ~ '))', known) -%}
{{ provider_by_names("replaceRegexpOne(" ~ first ~ ", '" ~ named ~ "', '\\\\1')", known) }}
{%- endmacro -%}

{%- macro provider_by_names(provider, known) -%}
transform({{ provider }}, ['{{ known.keys() | join("', '") }}'], ['{{ known.values() | join("', '") }}'])
{%- endmacro -%}
