"""How are durations and large numbers written for people?"""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds in words for people: ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3.5 days``, ``12 years``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    if seconds < 365 * 86_400:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 86_400 / 365.25:,.1f} years"


def quantity(value: float) -> str:
    """A number with a metric prefix: ``3.2k``, ``1.5M``, ``12G``; beyond that in powers of ten."""
    if value >= 1e12:
        return f"{value:.2g}"
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}"
