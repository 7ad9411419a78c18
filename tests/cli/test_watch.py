"""A status and a report that follow a study while it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxemerge import cli
from jaxemerge.cli import report, watch
from jaxemerge.runner.records import CellStatus
from jaxemerge.study.folder import _under_way


def cell(finished, missing=0, writers=0):
    asked = None if missing is None else finished + missing
    return CellStatus("a", 9, finished, asked, 1.0, ({"pid": 1},) * writers, (), ())


HISTORY = (
    [cell(0, 4, writers=1)],
    [cell(0, 4, writers=1)],
    [cell(2, 2, writers=1)],
    [cell(4, 0, writers=1)],
    [cell(4)],
    [cell(9)],  # is never looked at: the study was finished
)


@pytest.fixture
def history(monkeypatch):
    """A study that moves on at every look, and the waits between them."""
    states, waits = iter(HISTORY), []
    monkeypatch.setattr(watch, "open_records", lambda folder: folder)
    monkeypatch.setattr(watch, "study_status", lambda store: next(states))
    monkeypatch.setattr(watch.time, "sleep", waits.append)
    return waits


def test_every_change_is_shown_until_the_study_is_finished(history):
    shown = []
    watch.follow(Path("there"), 3.0, shown.append, watch.time.sleep)
    assert shown == [HISTORY[0], HISTORY[2], HISTORY[3], HISTORY[4]]
    assert history == [3.0] * 4


def test_control_c_ends_it_quietly(monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "open_records", lambda folder: folder)
    monkeypatch.setattr(watch, "study_status", lambda store: HISTORY[0])
    watch.follow(Path("there"), 3.0, lambda cells: None, interrupted)


def test_a_folder_that_does_not_say_what_is_missing_is_followed_until_control_c():
    assert not watch.finished([cell(4, None)])
    assert not watch.finished([cell(4), cell(4, 0, writers=1)])
    assert watch.finished([cell(4), cell(4)])


def test_the_report_is_written_after_every_chunk_and_reloads_until_the_last(history, monkeypatch):
    written = []
    monkeypatch.setattr(watch.follow, "__defaults__", (watch.time.sleep,))
    monkeypatch.setattr(report, "open_store", lambda folder: folder)
    monkeypatch.setattr(
        report, "write", lambda store, options, front, console, reload: written.append(reload)
    )
    assert cli.main(["report", "there", "--watch", "7"]) == 0
    assert written == [7.0, 7.0, None]
    assert history == [7.0] * 4


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_seconds_are_positive(seconds, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["status", "there", "--watch", seconds])
    assert "--watch" in capsys.readouterr().err


def test_an_unfinished_study_says_how_much_is_there():
    assert _under_way([cell(4), cell(9)]) == []
    assert _under_way([cell(4, None)]) == []
    assert _under_way([cell(4, 12), cell(0, 16)]) == [
        "Under way: 4 of 32 seeds are finished, in 1 of 2 cells; what follows is about these."
    ]
