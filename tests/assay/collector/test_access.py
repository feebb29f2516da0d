"""Where keys are required."""

from __future__ import annotations

import pytest

from assay.collector.access import requires_keys
from assay.settings import Settings, is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("192.168.1.2", False),
        ("::ffff:10.0.0.7", False),
        ("localhost.example.org", False),
        ("collector.internal", False),
        ("", False),
    ],
)
def test_only_loopback_is_open_by_itself(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert requires_keys(Settings(host=host)) is not loopback
    assert requires_keys(Settings(host=host, require_keys="always")) is True
    assert requires_keys(Settings(host=host, require_keys="never")) is False
