"""Files appear whole or not at all."""

import os

import pytest

from jaxemerge import files


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write_bytes(path, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("report.html", b"old")]


def test_a_write_replaces_what_was_there(tmp_path):
    path = tmp_path / "study.json"
    files.write_json(path, {"seeds": [1]})
    files.write_json(path, {"seeds": [1, 2]})
    assert [p.name for p in tmp_path.iterdir()] == ["study.json"]
    assert path.read_text() == '{\n "seeds": [\n  1,\n  2\n ]\n}\n'
