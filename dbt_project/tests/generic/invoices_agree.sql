{#- Fails for each invoice that is further from the recorded calls than `invoice_divergence_share`. -#}
{% test invoices_agree(model, column_name) %}

select
    month,
    provider,
    model,
    {{ column_name }},
    explanation
from {{ model }}
where is_divergent

{% endtest %}
