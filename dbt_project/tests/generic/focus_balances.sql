{#- What is billed is borne: fails for each month whose effective cost is not its billed cost. -#}
{% test focus_balances(model) %}

select
    BillingPeriodStart,
    sum(BilledCost) as billed,
    sum(EffectiveCost) as effective
from {{ model }}
group by BillingPeriodStart
having billed != effective

{% endtest %}
