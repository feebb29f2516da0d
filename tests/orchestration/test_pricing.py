"""What a newer price would change is shown, and nothing is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import dagster as dg

from assay.pricing import store
from assay.pricing.catalogue import SOURCE
from assay.pricing.overrides import Override
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.rows import insert, span


def run(definitions: dg.Definitions, job: str) -> dg.ExecuteInProcessResult:
    """A run of a job, in this process."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(job).execute_in_process(instance=instance)
    assert result.success
    return result


def test_what_a_new_price_would_change_is_shown_and_not_applied(
    settings: Settings, definitions: dg.Definitions
) -> None:
    """1,000 prompt and 200 completion tokens of 3 calls: at 10 and 50 USD a million, 0.02 USD each."""
    day = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
    unpriced = {
        "provider": "acme", "model": "large", "cost_usd": None, "cost_status": "unpriced",
        "cost_reason": "no price list of provider acme", "pricing_tier": "standard",
    }  # fmt: skip
    with connect(settings) as client:
        insert(client, "llm_traces", *(span(day + timedelta(minutes=n), **unpriced) for n in range(3)))
    (check,) = run(definitions, "price_changes_job").get_asset_check_evaluations()
    assert check.passed
    assert check.description == "none of 3 calls would cost anything else"

    with connect(settings) as client:
        for name, price in (("input", 10), ("output", 50)):
            row = Override(
                provider="acme", token_class=name, price_usd=Decimal(price), source="contract",
                valid_from=day - timedelta(days=1),
            )  # fmt: skip
            store.add(client, row)
    result = run(definitions, "price_changes_job")
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description is not None
    assert "3 of 3 calls would cost 0.060000000000 USD in place of 0.000000000000;" in check.description
    assert "materialize repriced_traces of" in check.description
    (event,) = result.asset_materializations_for_node("price_changes")
    assert event.metadata["price_list"].value == SOURCE
    shown = str(event.metadata["differences"].value).splitlines()
    assert shown[0].startswith("| provider | model |")
    assert len(shown) == 3
    assert shown[2].startswith("| acme | large | standard | nothing | override ")
    assert shown[2].endswith(" | 3 | no price | 0.060000000000 |")
    with connect(settings) as client:
        costs = (
            "SELECT sum(cost_usd * sign) AS usd, countIf(cost_status = 'unpriced') AS n FROM llm_traces FINAL"
        )
        assert client.query(costs).first_row == (None, 3)
