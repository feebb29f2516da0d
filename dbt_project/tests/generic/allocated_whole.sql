{#- Shared costs are shared out whole: fails for each month whose totals are not its spend. -#}
{% test allocated_whole(model) %}

select
    month,
    sum(direct_usd) as spent,
    sum(total_usd) as charged
from {{ model }}
group by month
having spent != charged

{% endtest %}
