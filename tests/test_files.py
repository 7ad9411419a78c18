"""Files appear whole or not at all."""

import errno
import os
import socket
import subprocess
import sys

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


def test_a_link_at_a_partial_files_name_is_not_followed(tmp_path):
    other = tmp_path / "other"
    (tmp_path / "inner").mkdir()
    for victim in (other, tmp_path / "inner"):
        if victim == other:
            victim.write_text("kept")
        partial = tmp_path / f".a.json.{socket.gethostname()}.{os.getpid()}.partial"
        partial.symlink_to(victim)
        files.write_bytes(tmp_path / "a.json", b"new")
        assert (tmp_path / "a.json").read_bytes() == b"new"
        assert not partial.is_symlink()
        assert not (tmp_path / "a.json").is_symlink()
    assert other.read_text() == "kept"
    assert list((tmp_path / "inner").iterdir()) == []


def test_a_link_planted_while_a_file_is_written_is_an_error(tmp_path):
    def planted():
        with files.appearing(tmp_path / "a") as partial:
            partial.symlink_to(tmp_path / "other")
            partial.open("xb")

    with pytest.raises(FileExistsError):
        planted()
    assert list(tmp_path.iterdir()) == []


def test_a_sealed_file_reads_back(tmp_path):
    path = tmp_path / "record.json"
    files.write_sealed(path, {"seeds": ((1, 2),), "plan": {"chunk": 4}, "x": 0.1})
    assert files.read_sealed(path) == {"seeds": [[1, 2]], "plan": {"chunk": 4}, "x": 0.1}


def test_no_byte_of_a_sealed_file_changes_its_meaning_unseen(tmp_path):
    path = tmp_path / "record.json"
    value = {"seeds": [[1, 2]], "note": "twelve", "x": 0.1}
    files.write_sealed(path, value)
    whole = path.read_bytes()
    changed = [whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in range(len(whole))]
    for content in (*changed, *(whole[:i] for i in range(len(whole)))):
        path.write_bytes(content)
        if content.split() != whole.split():  # white space means nothing
            with pytest.raises(files.DamagedError, match=r"record\.json is damaged"):
                files.read_sealed(path)
        else:
            assert files.read_sealed(path) == value
    path.unlink()
    with pytest.raises(files.DamagedError, match=r"record\.json is missing"):
        files.read_sealed(path)


def test_damaged_files_keep_their_content_under_another_name(tmp_path):
    for content in ("one", "two"):
        (tmp_path / "a.json").write_text(content)
        files.set_aside(tmp_path / "a.json")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        "a.json.damaged": "one",
        "a.json.damaged2": "two",
    }


def test_folders_appear_whole_or_not_at_all(tmp_path):
    def full(partial):
        (partial / "inner").mkdir(parents=True)
        (partial / "inner" / "file").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"), files.appearing(tmp_path / "new") as partial:
        full(partial)
    assert list(tmp_path.iterdir()) == []
    with files.appearing(tmp_path / "new") as partial:
        (partial / "inner").mkdir(parents=True)
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["new", "new/inner"]


def test_only_what_the_dead_were_writing_is_removed(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    dead, here = int(gone.stdout), socket.gethostname()
    names = [f".a.{here}.{os.getpid()}.partial", f".b.{here}.{dead}.partial", f".c.elsewhere.{dead}.partial"]
    for name in names:
        (tmp_path / name).write_text("")
    (tmp_path / ".old.elsewhere.7.partial").mkdir()
    os.utime(tmp_path / ".old.elsewhere.7.partial", (0, 0))
    files.remove_partial(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [names[0], names[2]]
