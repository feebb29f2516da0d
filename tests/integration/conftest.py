"""One demo instance that the whole suite looks at: what ``make demo`` starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.instance import Instance, running_instance


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """``assay up --demo``."""
    with running_instance(tmp_path_factory.mktemp("demo") / "data", "--demo") as instance:
        yield instance
