"""Tests of the command line share these: mistakes in one line, a user's modules as in a new process."""

import sys
from collections.abc import Sequence

import pytest

import run


def fails(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error of a command that exits with 2."""
    with pytest.raises(SystemExit) as stopped:
        run.main([str(each) for each in arguments])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    return output.err


def forget(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """As a new process would: none of a user's modules is imported."""
    for name in modules:
        monkeypatch.delitem(sys.modules, name, raising=False)
