"""Results on different data are never mixed: digests of data files in ids, folders, records and cards."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from jaxemerge import AdamW, Corpus, Experiment, Objective, Task, inputs, llama, paired
from jaxemerge.exports.card import card
from jaxemerge.runner.checks import prepare
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.provenance import described, provenance
from jaxemerge.runner.records import StoreError
from toy_tasks import Echo

TEXT = bytes(np.random.default_rng(3).integers(97, 123, 4_001).astype(np.uint8))


def cell(path, **fields):
    task = path if isinstance(path, Task) else Corpus(path, context=8, **fields)
    return Experiment(task, llama(1, 8, 1), AdamW(1e-3, warmup=1), steps=2, batch=2, context=29)


def in_a_new_process():
    """Files are read once in a process: forget them."""
    inputs._seen.clear()


@dataclasses.dataclass(frozen=True)
class Words(Echo):
    """A user's task that reads a file."""

    source: str = "words.txt"

    @property
    def files(self):
        return (self.source,)


@dataclasses.dataclass(frozen=True)
class Fit(Objective):
    """A user's objective that reads a file."""

    files: tuple = ()

    def init(self, key):
        raise NotImplementedError

    loss = init


@pytest.fixture
def path(tmp_path):
    (tmp_path / "words.txt").write_bytes(TEXT)
    yield tmp_path / "words.txt"
    in_a_new_process()


def test_a_cell_is_what_its_files_hold_and_not_where_they_are(path, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "copy.txt"
    copy.write_bytes(TEXT)
    (tmp_path / "changed.txt").write_bytes(TEXT[:-1] + b"!")
    one = cell(path)
    digest = hashlib.sha256(TEXT).hexdigest()[:12]
    assert json.loads(one.to_json())["files"] == {str(path): digest}
    assert cell(copy).cell == one.cell
    monkeypatch.chdir(tmp_path)
    assert cell("words.txt").cell == one.cell
    others = [
        cell(tmp_path / "changed.txt"),
        cell((path, copy)),
        cell(path, limit=3_999),
        cell(path, windows=3),
    ]
    assert len({one.cell, *(other.cell for other in others)}) == 5


@pytest.mark.parametrize("kind", [lambda path: cell(Words(source=str(path))), cell], ids=["own", "Corpus"])
def test_a_changed_file_is_another_cell_and_its_folder_is_refused(path, tmp_path, kind):
    before = kind(path)
    old = before.cell
    create_store(tmp_path / "out", "words", [before])
    create_store(tmp_path / "out", "words", [before])
    path.write_bytes(TEXT.upper())
    with pytest.raises(ValueError, match=r"words\.txt has changed since this process read it"):
        prepare(before)
    in_a_new_process()
    after = kind(path)
    assert after.cell != old
    with pytest.raises(StoreError, match=r"another experiment: data file \S*words\.txt has changed; choose"):
        create_store(tmp_path / "out", "words", [after])


def test_an_objective_names_its_files_too(path):
    one = Experiment(Fit(files=(str(path),)))
    assert list(one.to_dict()["files"]) == [str(path)]
    assert one.cell != Experiment(Fit()).cell
    assert "files" not in Experiment(Fit()).to_dict()


def test_what_was_saved_is_read_back_without_the_text(path):
    one = cell(path)
    saved = one.to_json()
    path.unlink()
    assert Experiment.from_json(saved) == one


def test_records_and_cards_name_the_data(path):
    one = cell(path).with_seeds(paired([0]))
    digests = inputs.digests(one.task)
    record = {"seeds": [[0, 0]], "seconds": 1.0, "provenance": provenance()}
    [files] = [text for label, text in described([{**record, "files": digests}]) if label == "Data files"]
    assert files == f"{path} (SHA-256 {digests[str(path)]}...)"
    many = {f"file{i}": "0" for i in range(5)}
    assert dict(described([{**record, "files": many}]))["Data files"].endswith(
        "and 2 more, listed in study.json"
    )
    assert "Data files" not in dict(described([record]))
    written = card(json.loads(one.to_json()), None, [provenance()], 0.2)
    assert f"SHA-256 {digests[str(path)]}" in written
