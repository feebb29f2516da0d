-- Entries replace one another: the newest of a tenant counts.
with source as (

    select * from {{ source('llm', 'tenants') }} {{ as_they_count() }}

),

renamed as (

    select
        tenant_id,
        if(name = '', tenant_id, name) as tenant_name,
        tier,
        time_zone,
        currency,
        cost_centre,
        risk_class,
        capture,
        updated_at
    from source

)

select * from renamed
