"""Names from files and users reach no renderer with characters that it would obey."""

import io

import polars as pl
import pytest
from rich.console import Console

from jaxemerge import cli
from jaxemerge.analysis import printable_names, read_results
from jaxemerge.cli.terminal import say, table
from jaxemerge.report import write_report
from jaxemerge.report.page import as_csv
from jaxemerge.text import printable
from synthetic import population_frame
from whole_programs import coarse_reports as coarse_reports

HOSTILE = [
    "\x1b[31mx",
    "a\0b",
    "[/]",
    "[red]x",
    ":smile:",
    "a\nb",
    "\u202egpj.exe",
    "\x07",
    "</script>",
    "=1+1",
]


@pytest.mark.parametrize("text", ["plain", "größe 3", "深さ", "a b", "[/]", "👩\u200d🔬"])
def test_what_can_be_shown_stays(text):
    assert printable(text) == text


def test_the_rest_is_escaped_and_stays_different():
    assert printable("\x1b[31mx") == "\\x1b[31mx"
    assert printable("a\0b\nc\u2028\udcff") == "a\\x00b\\nc\\u2028\\udcff"
    assert len({printable(text) for text in HOSTILE}) == len(HOSTILE)
    assert all(printable(text).isprintable() for text in HOSTILE)


def test_names_in_frames_and_of_columns():
    frame = pl.DataFrame({"a\x1b": ["x\0", "y", None], "b": [1, 2, 3]})
    assert printable_names(frame).to_dict(as_series=False) == {
        "a\\x1b": ["x\\x00", "y", None],
        "b": [1, 2, 3],
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_terminal_lines_and_tables_show_names_as_they_are(name):
    console = Console(file=io.StringIO(), width=120, highlight=False, markup=False, emoji=False)
    say(console, name)
    made = table(printable(name))
    made.add_row(printable(name))
    console.print(made)
    assert console.file.getvalue().count(printable(name)) == 3


def test_errors_are_one_line_without_control_characters(capsys):
    with pytest.raises(SystemExit):
        cli.main(["status", "no\x1b[31m\n[/]such"])
    assert capsys.readouterr().err == "error: no\\x1b[31m\\n[/]such: no such folder\n"


def test_headers_and_lists_of_tables_are_no_formulas():
    text = as_csv(pl.DataFrame({"=1+1": ["=2"], "-x": [["@a", "b"]], "@y": [1.0], "ok": [-1]})).decode()
    assert text == "'=1+1,'-x,'@y,ok\n'=2,'@a b,1.0,-1\n"


@pytest.mark.slow
def test_a_report_of_hostile_names_is_written(tmp_path):
    """In three figures' worth of renderers: the page, the pictures, the tables."""
    frame = population_frame(seeds=7, steps=(0, 50, 100))
    cells = frame["cell"].unique(maintain_order=True).to_list()
    odd = dict(zip(cells, [f"{text}{i}" for i, text in enumerate(HOSTILE * 3)], strict=False))
    frame = frame.with_columns(pl.col("cell").replace(odd), family=pl.lit("\x1b[31m\0"))
    path = write_report(frame, tmp_path, title="\x1b]0;title\x07 </script>", details=[("a", "b\0c")])
    page = path.read_text()
    assert "\x1b" not in page
    assert "\0" not in page
    assert all("\x1b" not in file.read_text() for file in tmp_path.rglob("*.svg"))


def test_names_of_other_programs_are_cleaned_when_they_are_read():
    rows = pl.DataFrame(
        {"model": ["\x1b[31mx", "\x1b[31mx", "[/]"], "seed": [0, 1, 0], "value": [0.1, 0.2, 0.3]}
    )
    assert set(read_results(rows, study="a\0b")["cell"]) == {"\\x1b[31mx", "[/]"}
