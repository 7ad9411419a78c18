"""How is text from files and users shown? Without control characters, which terminals and renderers obey."""

from __future__ import annotations

import unicodedata

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
