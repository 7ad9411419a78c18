"""Digests of data files: are they those of the content, and does a change never pass in silence?"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from jaxemerge import inputs


@dataclass(frozen=True)
class Reader:
    """Names the files that it reads."""

    files: tuple[str, ...]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name, content in (("z", b"last"), ("b/y", b"first"), (".git/x", b"no"), (".hidden", b"no")):
        (folder / name).write_bytes(content)
    one, all_of_it = str(tmp_path / "a"), str(folder)
    listing = f"{sha(b'first')} b/y\n{sha(b'last')} z\n"
    expected = {one: sha(b"one")[:12], all_of_it: sha(listing.encode())[:12]}
    assert inputs.digests(Reader((one, all_of_it))) == expected
    assert inputs.contents(all_of_it) == [b"first", b"last"]
    assert inputs.digests(object()) == {}


def test_a_change_within_a_process_stops_it(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"before")
    reader = Reader((str(path),))
    first = inputs.digests(reader)
    os.utime(path, ns=(1, 1))  # touched, with the same content
    inputs.check_unchanged(reader)
    path.write_bytes(b"after!")
    assert inputs.digests(reader) == first
    for look in (lambda: inputs.check_unchanged(reader), lambda: inputs.contents(str(path))):
        with pytest.raises(ValueError, match=r"text has changed since this process read it: start again"):
            look()


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, words in {
        "missing": "missing cannot be read: No such file or directory",
        "empty": "empty holds no files",
        "pipe": "pipe is neither a file nor a folder",
    }.items():
        with pytest.raises(ValueError, match=words) as error:
            inputs.digests(Reader((str(tmp_path / name),)))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"files is 'a.txt': return a tuple of paths"):
        inputs.digests(Reader("a.txt"))  # type: ignore[arg-type]


def test_a_file_that_is_closed_to_this_user_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"x")

    def closed(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", closed)  # root may read everything
    with pytest.raises(ValueError, match="secret cannot be read: Permission denied"):
        inputs.digests(Reader((str(tmp_path / "secret"),)))
