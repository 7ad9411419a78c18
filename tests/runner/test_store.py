"""The results folder: what is kept, what is refused."""

import dataclasses
import json
import os

import pytest

from jaxemerge import files, paired
from jaxemerge.runner.store import StoreError, create_store, open_store
from jaxemerge.runner.table import results_table

RECORD = {"seconds": 1.5, "plan": {}, "provenance": {}}


@pytest.fixture
def rows(tiny, population):
    return results_table(tiny, tiny.seeds, population.evaluations)


def test_what_is_written_reads_back(tmp_path, tiny, rows):
    made = create_store(tmp_path / "new" / "folder", "tiny", [tiny])
    assert made.finished(tiny.cell) == set()
    assert made.results().is_empty()
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    again = open_store(tmp_path / "new" / "folder")
    assert again.finished(tiny.cell) == set(paired(range(5)))
    assert again.results().equals(rows)
    assert again.records() == [{"cell": tiny.cell, "seeds": [[s, s] for s in range(5)], **RECORD}]
    assert again.study == "tiny"


def test_a_write_that_fails_leaves_nothing(tmp_path, tiny, rows, monkeypatch):
    made = create_store(tmp_path, "tiny", [tiny])
    monkeypatch.setattr(files, "_flush", lambda path: os.stat(path / "no-space"))
    with pytest.raises(OSError, match="no-space"):
        made.write(tiny.cell, tiny.seeds, rows, RECORD)
    assert list((tmp_path / "cells" / tiny.cell).iterdir()) == []
    assert made.finished(tiny.cell) == set()


def test_unfinished_files_are_not_read(tmp_path, tiny, rows):
    made = create_store(tmp_path, "tiny", [tiny])
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    folder = tmp_path / "cells" / tiny.cell
    (folder / ".seeds-9-9-aa.parquet.77.partial").write_bytes(b"")
    (folder / ".seeds-9-9-aa.json.77.partial").write_bytes(b"{")
    assert made.results().equals(rows)
    assert len(made.records()) == 1


def test_cells_without_a_swept_column_have_null_there(tmp_path, tiny, rows):
    other = dataclasses.replace(tiny, steps=5)
    made = create_store(tmp_path, "tiny", [tiny, other])
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    made.write(other.cell, tiny.seeds, rows.with_columns(steps=5), RECORD)
    assert made.results()["steps"].null_count() == len(rows)


def test_more_cells_or_fewer_go_on_in_the_same_folder(tmp_path, tiny):
    other = dataclasses.replace(tiny, steps=5)
    create_store(tmp_path, "tiny", [tiny])
    assert list(create_store(tmp_path, "tiny", [tiny, other]).cells) == [tiny.cell, other.cell]
    assert list(create_store(tmp_path, "tiny", [other]).cells) == [tiny.cell, other.cell]
    assert list(open_store(tmp_path).cells) == [tiny.cell, other.cell]


def test_another_experiment_is_refused_and_the_folder_left_alone(tmp_path, tiny):
    create_store(tmp_path, "tiny", [tiny])
    before = (tmp_path / "study.json").read_bytes()
    other = dataclasses.replace(tiny, steps=5, batch=3)
    with pytest.raises(
        StoreError, match=r"another experiment: batch is 2 there and 3 here; steps is 7 there and 5"
    ):
        create_store(tmp_path, "tiny", [other])
    assert (tmp_path / "study.json").read_bytes() == before


def test_folders_that_cannot_be_used(tmp_path, tiny):
    with pytest.raises(StoreError, match="nowhere: no such folder"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"holds no study: there is no study\.json"):
        open_store(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="holds other files and no study"):
        create_store(tmp_path, "tiny", [tiny])
    with pytest.raises(StoreError, match="is a file: --out must name a folder"):
        create_store(tmp_path / "notes.txt", "tiny", [tiny])
    with pytest.raises(StoreError, match="cannot be written"):
        create_store(tmp_path / "notes.txt" / "below", "tiny", [tiny])
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    for damage in ("{", json.dumps({"study": "x"})):
        (tmp_path / "study.json").write_text(damage)
        with pytest.raises(StoreError, match=r"study\.json is damaged"):
            open_store(tmp_path)
