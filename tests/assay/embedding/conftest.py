"""A store of the test alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect


@pytest.fixture
def client(migrated: Settings) -> Iterator[Client]:
    with connect(migrated) as found:
        yield found
