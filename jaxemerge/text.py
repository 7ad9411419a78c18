"""How are text and values shown? Without control characters, which terminals obey; numbers are short."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

# Categories of Unicode: control, format (the direction of text), surrogates, ends of lines.
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # letters of some scripts, and pictures, are put together with these


def printable(text: str) -> str:
    """The text with escapes such as ``\\x1b`` for what cannot be shown; different texts stay different."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) in _OBEYED and character not in _JOINERS:
        return character.encode("unicode_escape").decode()
    return character


ABBREVIATIONS = {"learning_rate": "lr", "task": "", "family": "", "model": "", "kind": ""}
_UNITS = {1e6: "M", 1e9: "B", 1e12: "T"}


def named_value(name: str, value: Any) -> str:
    """A field with its value, as labels have it: ``depth 2``, ``lr 3e-3``, ``Muon`` for a kind."""
    short = ABBREVIATIONS.get(name.rpartition(".")[2], name.replace("_", " ").strip())
    return f"{short} {short_number(value) if isinstance(value, float) else value}".strip()


def short_number(value: float) -> str:
    """3e-3 for 0.003, 0.1 for 0.1, 64 for 64.0, 1.4B for 1.4e9."""
    for power, unit in _UNITS.items():
        if power <= abs(value) < 1000 * power:
            return f"{value / power:.4g}{unit}"
    if 1e4 <= abs(value) < 1e6 and value == round(value) and (abs(value) < 1e5 or value % 100):
        return f"{value:.0f}"
    if value == 0 or not math.isfinite(value) or 0.01 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def numbered(names: Iterable[str]) -> list[str]:
    """Names of which each is there once: the second of a name is followed by (2), and so on."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
