from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import plotly.utils
import pytest

from assay.dashboard.efficiency import panels
from assay.dashboard.efficiency.selection import Selection, Template
from tests.assay.dashboard.efficiency.answers import UNKNOWN, day, days, row, table

NOW = datetime(2026, 3, 18, 14, 37, tzinfo=UTC)


def html(children: object) -> str:
    """What the browser is sent."""
    return json.dumps(children, cls=plotly.utils.PlotlyJSONEncoder, ensure_ascii=False)


def test_row_of_the_table() -> None:
    text = html(panels.rows(table(row()), Selection(range="7d")))
    for said in ("1,200", "$36.00", "$0.015", "human-time, n = 7", "0.215", "1 spike, 2 drops", "50.0%"):
        assert f'"{said}"' in text
    for said in ("$0", "$2.00", "18 converted traces", "1.0%", "12 escalated traces"):
        assert f'"{said}"' in text
    # Of the figures the flagged days alone.
    assert text.count("figure flagged") == 1
    assert "/efficiency?range=7d&tenant=acme" in text
    assert "/efficiency?range=7d&of_tenant=acme&of_template=rag-v1" in text


def test_unknown_figures_of_the_table_are_words() -> None:
    text = html(panels.rows(table(row(**UNKNOWN)), Selection()))
    for words, times in (
        ("no price", 1),
        ("complexity unknown", 1),
        ("task smalltalk", 1),
        ("too few days", 1),
        ("not reported", 3),
        ("not sent", 2),
    ):
        assert text.count(f'"{words}"') == times, words
    assert "assay load task-times" in text
    assert '"$0"' not in text


def test_bad_figures_are_flagged_and_sums_that_leave_calls_out_are_marked() -> None:
    frame = table(
        row(
            unpriced_count=7,
            cache_hit_rate=0.1,
            missed_discount_usd=Decimal(3),
            missed_unknown=2,
            missed_sources=["calls"],
        )
    )
    text = html(panels.rows(frame, Selection()))
    assert text.count("figure flagged") == 3
    assert text.count('"partial"') == 2
    assert "7 of 1,200 calls have no price" in text
    assert "at what the month's calls were charged" in text
    assert panels.note(frame, Selection()) == "1; * without what has no price"


def test_a_template_without_a_name_can_be_shown() -> None:
    text = html(panels.rows(table(row(prompt_template_version="")), Selection()))
    assert '"(none)"' in text
    assert "of_tenant=acme&of_template=" in text


@pytest.mark.parametrize(
    ("frame", "selection", "said"),
    [
        (table(), Selection(), ""),
        (table(row(found=1234)), Selection(), "1 of 1,234"),
        # Without a sum there is nothing to mark.
        (table(row(**UNKNOWN, missed_unknown=1)), Selection(), "1"),
        (table(row()), Selection(models=("m",)), "1; completion ratio and flagged days are of all models"),
    ],
)
def test_note_of_the_table(frame: pd.DataFrame, selection: Selection, said: str) -> None:
    assert panels.note(frame, selection) == said


def test_empty_table() -> None:
    assert "No traffic in this range" in html(panels.rows(table(), Selection()))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "Too few days"),
        ([day(day_is_verbosity_spike=None, day_is_truncation_drop=None)], "Too few days"),
        ([day()], "No day is flagged."),
        (
            [day(day_completion_ratio=0.5, day_is_verbosity_spike=1.0, day_length_finish_share=None)],
            '"18 Mar: spike, × 2.00 of its median"',
        ),
        (
            [day(day_completion_ratio=0.05, day_is_truncation_drop=1.0, day_length_finish_share=0.4)],
            '"18 Mar: drop, × 0.20 of its median, 40.0% ended by the token limit"',
        ),
    ],
)
def test_flagged_days_in_words(rows: list[dict[str, Any]], said: str) -> None:
    assert said in html(panels.flags(days(*rows)))


@pytest.mark.parametrize(
    ("age", "said", "late"),
    [
        (timedelta(minutes=20), "built 18 Mar 2026 14:17 UTC, 20 min ago; anew every hour", False),
        (timedelta(minutes=-1), "under 1 min ago", False),
        (timedelta(hours=5), "see hourly_efficiency_schedule in Dagster", True),
    ],
)
def test_how_old_the_figures_are(age: timedelta, said: str, late: bool) -> None:
    text = html(panels.age(NOW - age, NOW))
    assert said in text
    assert ('"late"' in text) is late


def test_what_was_never_built_has_no_age() -> None:
    assert panels.age(None, NOW) == ["not built since calls arrived"]
    assert panels.moment_of(pd.DataFrame({"built": [pd.NaT]})) is None


@pytest.mark.parametrize(
    ("built", "selection", "said", "link"),
    [
        (None, Selection(), "dbt build --select efficiency_daily", None),
        (NOW, Selection(), "No traffic in this range.", None),
        (NOW, Selection(range="7d"), "Show 30 days", "/efficiency"),
        (NOW, Selection(range="7d", tenants=("nobody",)), "Clear the filters", "/efficiency"),
    ],
)
def test_absence_says_what_to_do(
    built: datetime | None, selection: Selection, said: str, link: str | None
) -> None:
    text = html(panels.absence(built, selection))
    assert said in text
    assert (f'"href": "{link}"' in text) if link else ("href" not in text)


def test_a_store_from_before_this_page_is_told_with_the_fix() -> None:
    text = html(panels.not_built())
    assert "efficiency_daily" in text
    assert "`assay up` builds it" in text
    assert '"alert"' in text


OTHER = row(prompt_template_version="chat", flagged_days=4)


@pytest.mark.parametrize(
    ("frame", "selection", "of"),
    [
        (table(), Selection(), None),
        (table(row(flagged_days=None)), Selection(), Template("acme", "rag-v1")),
        (table(row(), OTHER), Selection(), Template("acme", "chat")),
        (table(row(), OTHER), Selection(drawn=Template("acme", "rag-v1")), Template("acme", "rag-v1")),
        # Chosen before it was filtered away.
        (
            table(row(), OTHER),
            Selection(drawn=Template("b", "v"), tenants=("acme",)),
            Template("acme", "chat"),
        ),
        (table(), Selection(drawn=Template("b", "v")), Template("b", "v")),
    ],
)
def test_which_template_is_drawn(frame: pd.DataFrame, selection: Selection, of: Template | None) -> None:
    assert panels.drawable(frame, selection) == of
    assert (of is None) or of in panels.offered(frame, of)


def test_templates_are_offered_in_order_and_once() -> None:
    frame = table(row(), OTHER)
    chat, rag = Template("acme", "chat"), Template("acme", "rag-v1")
    assert panels.offered(frame, rag) == [chat, rag]
    assert panels.offered(frame, Template("b", "")) == [chat, rag, Template("b", "")]
