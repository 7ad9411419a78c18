"""How is something printed on the terminal? Lines, tables and numbers."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from jaxemerge.text import printable


def table(*columns: str, left: int = 1) -> Table:
    """An empty table; the first ``left`` columns are text, the others numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        # Where the terminal is narrow only text may wrap, never a number.
        made.add_column(name, justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold")
    return made


def say(console: Console, text: str) -> None:
    """Prints text as it is, on one line however long."""
    console.print(printable(text), markup=False, soft_wrap=True)


def number(value: float | None) -> str:
    """A number with six digits, or a dash for None."""
    return "-" if value is None else f"{value:.6g}"


def share(value: float | None) -> str:
    """A share with two decimals; a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.2f}"
