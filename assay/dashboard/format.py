"""How figures are written on the screens. ``None`` and NaN are unknown: every function returns ``None`` for
them, and the screen says in words what is missing. Unknown is never written as 0.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal

Number = int | float | Decimal

_MAGNITUDES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def known(value: Number | None) -> float | None:
    """``value`` as a float, or ``None`` if it is absent or not a number."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def money(value: Number | None) -> str | None:
    """US dollars with the digits that matter: ``$0.0042``, ``$12.34``, ``$1.23k``."""
    number = known(value)
    if number is None:
        return None
    sign, size = ("-" if number < 0 else ""), abs(number)
    if size == 0:
        return "$0"
    if size < 1e-9:
        return f"{sign}<$0.000000001"
    if size < 0.995:
        # Two significant digits, without exponent; rounded first, as 0.0996 has three decimals but 0.10 two.
        decimals = 1 - math.floor(math.log10(float(f"{size:.1e}")))
        return f"{sign}${size:.{decimals}f}"
    if size < 999.995:
        return f"{sign}${size:.2f}"
    return f"{sign}${_scaled(size)}"


def count(value: Number | None) -> str | None:
    """A count: ``987``, ``12,345``, ``1.23M``."""
    number = known(value)
    if number is None:
        return None
    if abs(number) < 99_999.5:
        return f"{number:,.0f}"
    return f"{'-' if number < 0 else ''}{_scaled(abs(number))}"


def percent(share: Number | None) -> str | None:
    """A share of 1: ``28.3%``, ``0.04%``, ``100%``."""
    number = known(share)
    if number is None:
        return None
    value = number * 100
    if value == 0 or value == 100:
        return f"{value:.0f}%"
    # Not quite all and not quite nothing must not read as all and nothing.
    if 99.95 <= value < 100:
        return ">99.9%"
    if 0 < value < 0.01:
        return "<0.01%"
    return f"{value:.2f}%" if abs(value) < 0.1 else f"{value:.1f}%"


def milliseconds(value: Number | None) -> str | None:
    """A duration given in milliseconds: ``843 ms``, ``1.84 s``, ``2 min 5 s``."""
    number = known(value)
    if number is None:
        return None
    if number < 9.95:
        return f"{number:.1f} ms"
    if number < 999.5:
        return f"{number:.0f} ms"
    if number < 59_995:
        return f"{number / 1000:.2f} s"
    seconds = round(number / 1000)
    return f"{seconds // 60} min {seconds % 60} s"


def score(value: Number | None) -> str | None:
    """A quality score of 0 to 1."""
    number = known(value)
    return None if number is None else f"{number:.3f}"


def rate(value: Number | None) -> str | None:
    """A rate, in whatever unit stands beside it: ``52.4``, ``1,234``."""
    number = known(value)
    if number is None:
        return None
    return f"{number:.1f}" if abs(number) < 999.95 else count(number)


def change(current: Number | None, previous: Number | None) -> float | None:
    """Relative change from ``previous`` to ``current``; ``None`` where there is nothing to compare with."""
    now, before = known(current), known(previous)
    if now is None or before is None or before == 0:
        return None
    return now / before - 1


def signed_percent(relative: float) -> str:
    """A relative change: ``+12%``, ``−3.4%``, ``×14`` for what is more than tenfold."""
    if relative >= 9:
        return f"×{relative + 1:.0f}"
    value = abs(relative * 100)
    sign = "+" if relative > 0 else "−"
    if value < 0.05:
        return "±0%"
    return f"{sign}{value:.1f}%" if value < 9.95 else f"{sign}{value:.0f}%"


def moment(time: datetime) -> str:
    """A point in time, to the minute, without its zone: the screen says UTC beside it."""
    return f"{time:%d %b %Y %H:%M}"


def age(elapsed: timedelta) -> str:
    """How long ago: ``now``, ``14 min``, ``3 h 5 min``, ``2 d 4 h``."""
    minutes = int(elapsed.total_seconds() // 60)
    if minutes < 1:
        return "under 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _scaled(size: float) -> str:
    """Three significant digits and a magnitude: 1234 is ``1.23k``."""
    for index, (magnitude, _) in enumerate(_MAGNITUDES):
        # 999,999 is 1.00M, not 1000k.
        if size >= magnitude * 0.9995:
            scaled = size / magnitude
            if index == 0 and scaled >= 999.5:
                return f"{scaled:,.0f}T"
            decimals = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{decimals}f}{_MAGNITUDES[index][1]}"
    return f"{size:.0f}"
