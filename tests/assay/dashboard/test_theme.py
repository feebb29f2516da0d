from __future__ import annotations

import pytest

from assay.dashboard.theme import TOKENS, Tokens, colours, style


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio as WCAG 2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS.keys())
@pytest.mark.parametrize("name", ["text", "muted", "link", "good", "bad", "alarm"])
def test_text_can_be_read(tokens: Tokens, name: str) -> None:
    # WCAG 2.2, success criterion 1.4.3 (AA): 4.5 for text.
    for background in (tokens.surface, tokens.page):
        assert contrast(getattr(tokens, name), background) >= 4.5


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS.keys())
def test_marks_can_be_seen(tokens: Tokens) -> None:
    # WCAG 2.2, 1.4.11, asks 3 of graphical objects; here a legend and hover texts say the same as the colour.
    for colour in (*tokens.categories, tokens.other):
        assert contrast(colour, tokens.surface) >= 2.4


def test_colours_do_not_depend_on_the_order() -> None:
    names = ["acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne"]
    found = colours(names, "light")
    assert colours(reversed(names), "light") == found
    assert len(set(found.values())) == len(names)


def test_more_names_than_colours_still_have_one_each() -> None:
    names = [str(number) for number in range(30)]
    assert set(colours(names, "dark")) == set(names)


def test_style_has_the_variables_of_both_schemes() -> None:
    text = style()
    assert text.count("--surface:") == 2
    assert TOKENS["dark"].alarm in text
