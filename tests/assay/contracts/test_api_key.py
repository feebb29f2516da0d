"""The form of API keys."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contracts import api_key
from assay.contracts.api_key import KeyShapeError

TEXT, PRESENTED = api_key.generate()
LETTERS = st.sampled_from("0123456789ABCXYZabcxyz")


def test_a_key_is_recognised_and_its_text_is_not_in_what_is_kept() -> None:
    assert re.fullmatch(api_key.PATTERN, TEXT)
    assert api_key.present(TEXT) == PRESENTED
    assert TEXT.startswith(f"assay_{PRESENTED.key_id}_")
    assert not any(TEXT[start : start + 8] in PRESENTED.secret_hash for start in range(20, len(TEXT) - 8))
    assert api_key.generate()[0] != TEXT


@given(st.integers(0, len(TEXT) - 1), LETTERS)
def test_one_wrong_character_is_noticed(at: int, letter: str) -> None:
    mistyped = TEXT[:at] + letter + TEXT[at + 1 :]
    if mistyped == TEXT:
        assert api_key.present(mistyped) == PRESENTED
    else:
        with pytest.raises(KeyShapeError) as refused:
            api_key.present(mistyped)
        assert mistyped[20:40] not in str(refused.value)


@given(st.one_of(st.text(max_size=80), st.text(LETTERS, max_size=80).map("assay_".__add__)))
def test_other_text_is_no_key(text: str) -> None:
    with pytest.raises(KeyShapeError, match=r"form|checksum"):
        api_key.present(text)


@pytest.mark.parametrize(
    "text",
    ["", TEXT + "\n", TEXT[:-1], TEXT + "a", TEXT.upper(), " " + TEXT],
    # The key is another in every process; the names of the tests are not.
    ids=["nothing", "a line", "too short", "too long", "other case", "a blank before"],
)
def test_a_key_is_whole_or_none(text: str) -> None:
    with pytest.raises(KeyShapeError):
        api_key.present(text)
