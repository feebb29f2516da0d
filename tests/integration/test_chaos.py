"""One short round of kills; ``assay bench chaos`` runs many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos import SERVICES, Plan, round_of
from tests.support.pipeline import running_pipeline


@pytest.mark.anyio
async def test_every_acknowledged_span_is_there_once_whatever_is_killed(tmp_path: Path) -> None:
    async with running_pipeline(tmp_path, writers=2) as pipeline:
        outcome = await round_of(pipeline, Plan(seconds=25, rate=2_000, seed=7))
    assert outcome.kills == dict.fromkeys(SERVICES, 1)
    assert outcome.acknowledged == outcome.sent == 50_000
    assert outcome.deliveries > outcome.sent
    assert outcome.exact, outcome.as_dict()
    assert outcome.stored == outcome.sent
