{{ focus(ref('int_spend_rated'), ref('stg_tenants')) }}
