"""ClickHouse: the client, the numbered schema, the embedded server. Nothing else knows which it is."""
