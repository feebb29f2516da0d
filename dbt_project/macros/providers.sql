{#- A provider by the one name that Assay has for it. Calls that were stored before there was one have the price list's, or -#}
{#- what their sender said; invoices and contracts never had these. -#}
{%- macro provider_name(provider) -%}
cast({{ otel_provider('lower(trimBoth(' ~ provider ~ '))') }} as LowCardinality(String))
{%- endmacro -%}
