from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import plotly.utils
import pytest

from assay.dashboard.charts import Group
from assay.dashboard.notices import failure
from assay.dashboard.overview import panels
from assay.dashboard.overview.selection import Selection
from assay.dashboard.store import StoreError
from assay.dashboard.tiles import Tile

NOW = datetime(2026, 3, 18, 14, 37, tzinfo=UTC)


def html(children: object) -> str:
    """What the browser is sent."""
    return json.dumps(children, cls=plotly.utils.PlotlyJSONEncoder, ensure_ascii=False)


def alert(**fields: Any) -> dict[str, Any]:
    return {
        "alert_id": "a1",
        "level": "page",
        "tenant_id": "org_1",
        "model": "",
        "prompt_template_version": "rag-v1",
        "summary": "rag-v1: cost × 3",
        "status": "open",
        "opened_at": pd.Timestamp(NOW - timedelta(minutes=12)),
        "acknowledged_by": "",
        "found": 1,
        "pages": 1,
    } | fields


def row(**fields: Any) -> dict[str, Any]:
    return {
        "tenant_id": "org_1",
        "model": "large",
        "prompt_template_version": "",
        "request_count": 1200,
        "error_count": 12,
        "error_rate": 0.01,
        "unpriced_count": 0,
        "cost_usd": Decimal("3.5"),
        "cost_p50_usd": 0.0042,
        "latency_p95_ms": 1843.0,
        "velocity_p50": 68.4,
        "cache_hit_rate": 0.5,
        "evaluation_count": 40,
        "quality_mean": 0.87,
        "found": 1,
    } | fields


def test_open_page_has_a_banner_and_a_row_that_leads_to_its_tenant() -> None:
    text = html(panels.alerts(pd.DataFrame([alert()]), Selection(range="6h"), NOW))
    assert "1 page is open" in text
    assert "/?range=6h&tenant=org_1" in text
    assert "12 min ago" in text
    assert '"open"' in text
    assert '"Acknowledge"' in text
    assert '"Acknowledge: page, org_1, rag-v1: cost × 3"' in text


def test_investigation_has_no_banner_and_says_who_took_it() -> None:
    frame = pd.DataFrame(
        [alert(level="investigate", status="acknowledged", acknowledged_by="maria", model="large", pages=0)]
    )
    text = html(panels.alerts(frame, Selection(), NOW))
    assert "banner" not in text
    assert "acknowledged by maria" in text
    assert "Acknowledge" not in text
    # The template is in the summary; the model is not.
    assert '"large"' in text


def test_an_alert_of_no_tenant_is_one_of_all() -> None:
    frame = pd.DataFrame([alert(tenant_id="", level="investigate", pages=0)])
    text = html(panels.alerts(frame, Selection(), NOW))
    assert '"all tenants"' in text
    assert "tenant=" not in text
    assert '"Acknowledge: investigate, all tenants, rag-v1: cost × 3"' in text


def test_pages_that_somebody_looks_at_are_said_so() -> None:
    def banner(*statuses: str, pages: int) -> str:
        rows = [alert(alert_id=s, status=s, pages=pages, found=pages) for s in statuses]
        return html(panels.alerts(pd.DataFrame(rows), Selection(), NOW))

    assert "1 page is open, acknowledged" in banner("acknowledged", pages=1)
    assert "open, acknowledged" not in banner("acknowledged", "open", pages=2)
    # Of those beyond the list nobody knows.
    assert "open, acknowledged" not in banner("acknowledged", pages=2)


@pytest.mark.parametrize(("model", "leads_to"), [("large", "/?model=large"), ("", None)])
def test_an_alert_on_everybodys_calls_leads_to_its_model(model: str, leads_to: str | None) -> None:
    text = html(panels.alerts(pd.DataFrame([alert(tenant_id="", model=model)]), Selection(), NOW))
    assert "all tenants" in text
    assert "(none)" not in text
    assert (leads_to in text) if leads_to else ("href" not in text)


def test_judges_calls_are_told_from_those_of_tenants() -> None:
    assert "the judge's own calls" in html(panels.rows(pd.DataFrame([row(tenant_id="assay")]), Selection()))
    assert "own calls" not in html(panels.rows(pd.DataFrame([row(model="assay")]), Selection()))


def test_more_alerts_than_shown_are_counted() -> None:
    frame = pd.DataFrame(
        [alert(found=31, pages=25), alert(alert_id="a2", tenant_id="org_2", found=31, pages=25)]
    )
    text = html(panels.alerts(frame, Selection(), NOW))
    assert "25 pages are open" in text
    assert "2 of 31 open alerts" in text


def test_no_alert_is_said() -> None:
    assert "No open alerts" in html(panels.alerts(pd.DataFrame([], columns=list(alert())), Selection(), NOW))


def test_row_of_the_table() -> None:
    text = html(panels.rows(pd.DataFrame([row()]), Selection()))
    for figure in (
        "1,200",
        "1.0%",
        "$3.50",
        "$0.0042",
        "1.84 s",
        "68.4",
        "50.0%",
        "0.870",
        "40 scores",
        "(none)",
    ):
        assert f'"{figure}"' in text
    assert "flagged" not in text


def test_unknown_figures_of_the_table_are_words() -> None:
    unknown = row(
        unpriced_count=1200,
        cost_usd=None,
        cost_p50_usd=None,
        latency_p95_ms=None,
        velocity_p50=None,
        cache_hit_rate=None,
        evaluation_count=None,
        quality_mean=None,
    )
    text = html(panels.rows(pd.DataFrame([unknown]), Selection()))
    assert text.count('"no price"') == 2
    assert text.count('"not reported"') == 3
    assert text.count("not judged") == 1


def test_a_sum_that_leaves_calls_out_is_marked() -> None:
    frame = pd.DataFrame([row(unpriced_count=7)])
    assert "7 of 1,200 calls have no price" in html(panels.rows(frame, Selection()))
    assert panels.table_note(frame).startswith("1; * some calls have no price")
    # Without a sum there is nothing to mark.
    assert panels.table_note(pd.DataFrame([row(unpriced_count=7, cost_usd=None)])) == "1"


def test_bad_figures_are_flagged() -> None:
    text = html(panels.rows(pd.DataFrame([row(error_rate=0.2, cache_hit_rate=0.1)]), Selection()))
    assert text.count("figure flagged") == 2


def test_empty_table() -> None:
    frame = pd.DataFrame([], columns=list(row()))
    assert "No traffic in this range" in html(panels.rows(frame, Selection()))
    assert panels.table_note(frame) == ""
    assert panels.table_note(pd.DataFrame([row(found=1234)])) == "1 of 1,234"


@pytest.mark.parametrize(
    ("better", "change", "verdict"),
    [
        ("up", 0.1, "change good"),
        ("up", -0.1, "change bad"),
        ("down", 0.1, "change bad"),
        ("down", -0.1, "change good"),
        ("neither", 0.1, "change "),
        ("down", 0.001, "change "),
    ],
)
def test_a_change_is_judged_by_its_direction(better: Any, change: float, verdict: str) -> None:
    tile = Tile("cost_usd", "Spend", "$1", True, "", change, better)
    assert f'"{verdict}"' in html(panels.tiles([tile], Selection()))


def test_unknown_tile_has_no_change() -> None:
    tile = Tile("cost_usd", "Spend", "no price", False, "", 0.5, "down")
    text = html(panels.tiles([tile], Selection()))
    assert "value unknown" in text
    assert "+50%" not in text


def test_legend_links_to_its_members() -> None:
    groups = [Group("org_1", "org_1", "#111111"), Group(None, "other", "#222222")]
    text = html(panels.legend(groups, Selection()))
    assert text.count("href") == 1
    assert "/?tenant=org_1" in text
    assert panels.legend(groups, Selection(group_by=None)) == []


@pytest.mark.parametrize("dimension", ["tenant_id", "model", "prompt_template_version"])
def test_a_link_of_a_member_without_a_name_filters_by_it(dimension: Any) -> None:
    text = html(panels.legend([Group("", "(none)", "#111111")], Selection(group_by=dimension)))
    href = next(word for word in text.split('"') if word.startswith("/?"))
    assert "%28none%29" in href


def test_failure_says_what_to_do() -> None:
    error = StoreError("The store does not answer.", "Check that it runs.")
    assert "Check that it runs." in html(failure(error, shown=False))
    assert "last ones that arrived" not in html(failure(error, shown=False))
    assert "last ones that arrived" in html(failure(error, shown=True))


def test_absence_says_where_to_look() -> None:
    collector = "http://localhost:4318"
    assert "http://localhost:4318/v1/traces" in html(panels.absence(None, Selection(), collector))
    wider = html(panels.absence(NOW - timedelta(days=3), Selection(), collector))
    assert "15 Mar 2026 14:37 UTC" in wider
    assert "/?range=30d" in wider
    filtered = html(panels.absence(NOW, Selection(tenants=("nobody",)), collector))
    assert "Clear the filters" in filtered
