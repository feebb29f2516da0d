{{ chargeback(
    ref('int_spend_served'),
    ref('int_provisioned_usage'),
    ref('int_provisioned_months'),
    ref('int_credit_uses'),
    ref('stg_tenants'),
    ref('int_exchange_rates_monthly')
) }}
