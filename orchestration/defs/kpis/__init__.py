"""Everything that dbt derives."""
