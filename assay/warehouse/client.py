"""How every part of Assay reaches ClickHouse: one constructor over the HTTP protocol."""

from __future__ import annotations

from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from assay.settings import Settings


def connect(settings: Settings, *, database: str | None = None, url: str | None = None) -> Client:
    """A ClickHouse client on the configured URL and database.

    A client is not to be shared between threads. It sends no session id: sessions would make the server
    run its queries one after another, and nothing here needs one.

    Args:
        settings: where the store is.
        database: another database than the configured one; ``""`` for none.
        url: another server than the configured one.
    """
    return clickhouse_connect.get_client(
        dsn=_with_database(
            url or settings.clickhouse, settings.clickhouse_database if database is None else database
        ),
        autogenerate_session_id=False,
    )


def _with_database(url: str, database: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=f"/{database}").geturl()
