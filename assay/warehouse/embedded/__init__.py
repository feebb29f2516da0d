"""The embedded store: chDB, the ClickHouse engine in one process, behind the ClickHouse HTTP protocol.

Above the protocol nothing differs from a ClickHouse server: clickhouse-connect, dbt, SQLAlchemy and curl
are told a URL. What the engine in a process does not have (users, row policies, Keeper) is absent here too.
"""
