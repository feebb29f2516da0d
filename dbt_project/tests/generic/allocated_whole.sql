{#- Shared costs and credits are shared out whole: fails for each month whose totals are not its spend. -#}
{% test allocated_whole(model) %}

select
    month,
    sum(ifNull(direct_usd, 0) + provisioned_usd + unused_usd) as spent,
    sum(total_usd) as charged
from {{ model }}
group by month
having spent != charged

{% endtest %}
