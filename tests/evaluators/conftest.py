"""A provider's double for the tests of the evaluators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.messages_api import MessagesApi, messages_api


@pytest.fixture
def provider() -> Iterator[MessagesApi]:
    """A scripted double of the Anthropic Messages API."""
    with messages_api() as api:
        yield api
