"""How does a record look in one line? Numbers as they are, arrays by their shapes, frames by their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

_Kind = TypeVar("_Kind", bound=type)
_MOST = 300  # characters of a record
_FEW = 4  # numbers of an array that are shown


def brief(kind: _Kind) -> _Kind:
    """Gives a dataclass or named tuple a repr of one line, of at most 300 characters."""
    kind.__repr__ = one_line  # type: ignore[assignment]
    return kind


def one_line(record: Any) -> str:
    """Class and fields of a record in one line."""
    names = getattr(record, "_fields", ()) or [each.name for each in dataclasses.fields(record) if each.repr]
    fields = ", ".join(f"{name}={_shown(getattr(record, name))}" for name in names)
    text = f"{type(record).__name__}({fields})"
    return text if len(text) <= _MOST else f"{text[: _MOST - 4]}...)"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if hasattr(value, "columns") and hasattr(value, "height"):
        return f"<{value.height} rows of {len(value.columns)} columns>"
    if isinstance(value, Mapping):
        return _group(value, "{", "}", [f"{_shown(k)}: {_shown(v)}" for k, v in [*value.items()][: _FEW + 1]])
    if type(value) in (tuple, list):
        return _group(value, "(", ")", [_shown(each) for each in value[: _FEW + 1]])
    text = repr(value)
    return " ".join(text.split()) if "\n" in text else text


def _group(value: Sequence[Any] | Mapping[Any, Any], left: str, right: str, shown: list[str]) -> str:
    more = [f"... {len(value)} in all"] if len(value) > _FEW else []
    return f"{left}{', '.join(shown[:_FEW] + more)}{right}"


def _array(value: Any) -> str:
    """Few numbers as they are; of more the type and shape."""
    if value.size > _FEW or value.ndim > 1 or not hasattr(value, "tolist"):
        return f"{value.dtype}{list(value.shape)}"
    found = value.tolist()
    return _shown(found) if value.ndim == 0 else f"[{', '.join(map(_shown, found))}]"
