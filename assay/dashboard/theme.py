"""Colours and type of the screens, in light and in dark, and the Plotly template made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import plotly.graph_objects as go

Scheme = Literal["light", "dark"]

# What the operating system has: no font is fetched. Linux desktops without Inter have Noto, Cantarell or
# Liberation.
FONT = (
    'Inter, -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans", Cantarell, '
    '"Liberation Sans", Arial, sans-serif'
)


@dataclass(frozen=True)
class Tokens:
    """The colours of one scheme. ``categories`` can be told apart with any of the common colour vision
    deficiencies: they are Okabe and Ito's (2008), moved in lightness to stand out from this background.
    """

    page: str
    text: str
    muted: str
    grid: str
    surface: str
    border: str
    categories: tuple[str, ...]
    other: str
    link: str
    good: str
    bad: str
    alarm: str

    @property
    def typical(self) -> str:
        """The median of a pair of quantiles."""
        return self.categories[0]

    @property
    def tail(self) -> str:
        """The upper quantile of a pair."""
        return self.categories[1]


TOKENS: Mapping[Scheme, Tokens] = {
    "light": Tokens(
        page="#f4f6f8",
        text="#1c2430",
        muted="#5b6675",
        grid="#e8ebef",
        surface="#ffffff",
        border="#dfe3e8",
        categories=("#0072b2", "#d98200", "#009e73", "#b8568f", "#45a5dd", "#c44e00", "#6a5aa8"),
        other="#9aa3ae",
        link="#1864ab",
        good="#1b7f5c",
        bad="#b34700",
        alarm="#c92a2a",
    ),
    "dark": Tokens(
        page="#10141a",
        text="#e6eaf0",
        muted="#9aa5b4",
        grid="#2a313b",
        surface="#181d25",
        border="#2c343f",
        categories=("#4aa3df", "#e9a53a", "#2fbf96", "#dd8fbd", "#8fd0f5", "#f0803c", "#a99be6"),
        other="#6f7a88",
        link="#74b3ea",
        good="#4cc9a0",
        bad="#f0803c",
        alarm="#ff7b7b",
    ),
}

# What the style sheet calls the colours.
_STYLED = ("page", "text", "muted", "grid", "surface", "border", "link", "good", "bad", "alarm")

MANTINE = {
    "fontFamily": FONT,
    "headings": {"fontFamily": FONT, "fontWeight": "650"},
    "primaryColor": "blue",
    "defaultRadius": "md",
    "cursorType": "pointer",
    "respectReducedMotion": True,
}


def style() -> str:
    """The colours as CSS variables (``--surface``, …) of either scheme, for the style sheet in ``assets``."""
    blocks = []
    for scheme, tokens in TOKENS.items():
        variables = "".join(f"--{name}: {getattr(tokens, name)};" for name in _STYLED)
        blocks.append(f'[data-mantine-color-scheme="{scheme}"] {{ color-scheme: {scheme}; {variables} }}')
    return "\n".join(blocks)


def colours(names: Iterable[str], scheme: Scheme) -> dict[str, str]:
    """A colour per name: its own as long as no other name of the set wants the same, whatever their order."""
    palette = TOKENS[scheme].categories
    taken: dict[int, str] = {}
    for name in sorted(set(names)):
        slot = crc32(name.encode()) % len(palette)
        while slot in taken and len(taken) < len(palette):
            slot = (slot + 1) % len(palette)
        taken[slot if slot not in taken else len(taken)] = name
    return {name: palette[slot % len(palette)] for slot, name in taken.items()}


def template(scheme: Scheme) -> go.layout.Template:
    """How every chart looks: quiet grid, horizontal legend above the plot, one hover box for all series."""
    tokens = TOKENS[scheme]
    axis = {
        "gridcolor": tokens.grid,
        "linecolor": tokens.border,
        "zeroline": False,
        "tickfont": {"color": tokens.muted, "size": 11},
        "automargin": "height",
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": tokens.text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 52, "r": 10, "t": 10, "b": 26},
            "hovermode": "x unified",
            "hoverlabel": {
                "bgcolor": tokens.surface,
                "bordercolor": tokens.border,
                "font": {"family": FONT, "size": 12, "color": tokens.text},
                "namelength": 40,
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"size": 11, "color": tokens.muted},
                "itemsizing": "constant",
            },
            "xaxis": {
                **axis,
                "showgrid": False,
                "showline": True,
                "ticks": "outside",
                "ticklen": 4,
                "tickcolor": tokens.border,
                "hoverformat": "%a %d %b %H:%M UTC",
            },
            "yaxis": {**axis, "rangemode": "tozero", "nticks": 5},
            "colorway": list(tokens.categories),
            "modebar": {"remove": ["lasso", "select"]},
        }
    )
