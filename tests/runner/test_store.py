"""The results folder: what is kept, what is refused."""

import dataclasses
import hashlib
import json
import os
import re
import socket

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jaxemerge import files, paired
from jaxemerge.analysis import final_values, read_results, summarise
from jaxemerge.runner.checkpoint import Checkpoints
from jaxemerge.runner.lock import LockedError
from jaxemerge.runner.opening import create_store, open_store, overwrite
from jaxemerge.runner.records import StoreError, study_status
from jaxemerge.runner.tables import results_table
from jaxemerge.training import ResumeState

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
    [record] = again.records()
    [rows_file] = tmp_path.rglob("*.parquet")
    assert record.pop("rows") == hashlib.sha256(rows_file.read_bytes()).hexdigest()
    assert record == {"cell": tiny.cell, "seeds": [[s, s] for s in range(5)], **RECORD}
    assert again.study == "tiny"


def put(path, what):
    """Puts something that is no file in the place of a file."""
    content = path.read_bytes()
    path.unlink()
    if what == "folder":
        path.mkdir()
        (path / "x").write_bytes(content)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "shape":
        files.write_sealed(path, {"format": 2, "cells": [1], "seeds": 3, "study": "x"})
    elif what == "deep":
        path.write_text("[" * 100_000)
    else:
        path.symlink_to({"loop": path.name, "dead link": "nothing", "empty": "/dev/null"}[what])


@pytest.mark.parametrize("what", ["folder", "pipe", "loop", "dead link", "empty", "shape", "deep"])
@pytest.mark.parametrize("which", ["record", "rows", "items", "study"])
def test_what_is_no_file_is_named_set_aside_and_mended(tmp_path, tiny, rows, what, which):
    """Nothing waits for ever, and nothing is a traceback."""
    made = create_store(tmp_path, "tiny", [tiny])
    made.write(tiny.cell, tiny.seeds, rows, RECORD, {"items": rows})
    [rows_file] = (tmp_path / "cells" / tiny.cell).glob("*.parquet")
    place = {
        "record": rows_file.with_suffix(".json"),
        "rows": rows_file,
        "items": rows_file.parent / "items" / rows_file.name,
        "study": tmp_path / "study.json",
    }[which]
    put(place, what)
    if which == "study":
        with pytest.raises(StoreError, match=r"study\.json is .*; train the study again to mend it"):
            open_store(tmp_path)
        again = create_store(tmp_path, "tiny", [tiny])
        assert re.search(r"study\.json is .*; it is kept as study\.json\.damaged", again.notes[0])
        assert again.results().equals(rows)
        return
    store = open_store(tmp_path)
    assert [str(place) in line for line in store.damage()] == [True]
    assert [bool(cell.damaged) for cell in study_status(store)] == [True]
    assert [line.endswith("its seeds are trained again.") for line in store.mend()] == [True]
    assert store.damage() == []
    assert store.finished(tiny.cell) == set()
    store.write(tiny.cell, tiny.seeds, rows, RECORD, {"items": rows})
    assert open_store(tmp_path).results().equals(rows)


@pytest.mark.parametrize("name", ["a[b]", "a*", "what?", "a b", "a'b\"c", "ü\n", "~", "#%41&", "{x}"])
def test_names_of_folders_are_no_patterns(tmp_path, tiny, population, rows, name):
    made = create_store(tmp_path / name, "tiny", [tiny])
    with made.writing(tiny.cell):
        made.write(tiny.cell, tiny.seeds, rows, RECORD, {"items": rows}, {"x": np.ones(3)})
    (tmp_path / "ab").mkdir()  # what a pattern might find as well
    again = open_store(tmp_path / name)
    assert again.results().equals(rows)
    assert again.items().equals(rows)
    assert again.damage() == again.mend() == []
    kept = Checkpoints(tmp_path / name / "checkpoints")
    kept.save(ResumeState(3, {"x": np.arange(5.0)}, ()), tiny.seeds, population.evaluations, {})
    assert np.array_equal(kept.latest(pytest.fail).arrays["state['x']"], np.arange(5.0))


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


def test_cells_stored_without_a_swept_column_have_the_value_of_their_field(tmp_path, tiny, rows):
    other = dataclasses.replace(tiny, steps=5)
    made = create_store(tmp_path, "tiny", [tiny, other])
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    made.write(other.cell, tiny.seeds, rows.with_columns(cell=pl.lit(other.cell)), RECORD)
    found = made.results().group_by("cell").agg(pl.col("steps").unique())
    assert dict(found.rows()) == {tiny.cell: [7], other.cell: [5]}


def test_more_cells_or_fewer_go_on_in_the_same_folder(tmp_path, tiny):
    other = dataclasses.replace(tiny, steps=5)
    create_store(tmp_path, "tiny", [tiny])
    assert list(create_store(tmp_path, "tiny", [tiny, other]).cells) == [tiny.cell, other.cell]
    assert list(create_store(tmp_path, "tiny", [other]).cells) == [tiny.cell, other.cell]
    assert list(open_store(tmp_path).cells) == [tiny.cell, other.cell]


def test_the_folder_records_what_counts_as_a_success(tmp_path, tiny):
    """As the command line says, else as before, else as the study has it; folders of old say nothing."""

    def recorded(**shares):
        create_store(tmp_path, "tiny", [tiny], **shares)
        return open_store(tmp_path).threshold

    assert recorded() is None
    assert "threshold" not in json.loads((tmp_path / "study.json").read_text())
    assert recorded(default_threshold=0.9) == 0.9
    assert recorded(default_threshold=0.2) == recorded() == 0.9
    assert recorded(threshold=0.5, default_threshold=0.2) == recorded(default_threshold=0.2) == 0.5


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


DAMAGE = {
    "flipped": lambda p: p.write_bytes(flipped(p.read_bytes())),
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
    "deleted": lambda p: p.unlink(),
}


def flipped(content):
    """With one bit changed in the middle, where no white space is."""
    place = len(content) // 2
    while content[place : place + 1].isspace():
        place += 1
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("victim", ["parquet", "json"])
def test_a_damaged_part_is_named_set_aside_and_its_seeds_are_missing(tmp_path, tiny, rows, kind, victim):
    made = create_store(tmp_path, "tiny", [tiny])
    first, second = tiny.seeds[:2], tiny.seeds[2:]
    for seeds in (first, second):
        chosen = rows.filter(pl.col("init_seed").is_in([init for init, _ in seeds]))
        made.write(tiny.cell, seeds, chosen, RECORD)
    [path] = (tmp_path / "cells" / tiny.cell).glob(f"seeds-0-1-*.{victim}")
    DAMAGE[kind](path)
    named = "is missing" if kind == "deleted" else "is damaged"
    again = open_store(tmp_path)
    if victim == "json" and kind == "deleted":  # rows without a record are not used
        assert again.results()["init_seed"].unique().sort().to_list() == [2, 3, 4]
        assert ["has no record beside it" in line for line in again.damage()] == [True]
        [line] = again.mend()
        assert line.endswith(f"{path.stem}.parquet has no record beside it; its seeds are trained again.")
        assert not path.with_suffix(".parquet").exists()
    else:
        with pytest.raises(StoreError, match=f"{path.name} {named}.*; train the study again to mend it"):
            again.results()
        [line] = again.damage()
        assert again.mend() == [f"{line}; its seeds are trained again."]
        assert str(path) in line
        assert again.damage() == []
    assert again.finished(tiny.cell) == set(second)
    again.write(tiny.cell, first, rows.filter(pl.col("init_seed") < 2), RECORD)
    key = ["init_seed", "step", "split", "length", "metric"]
    assert again.results().sort(key).equals(rows.sort(key))


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_description_is_written_anew(tmp_path, tiny, rows, kind):
    made = create_store(tmp_path, "tiny", [tiny])
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    whole = (tmp_path / "study.json").read_bytes()
    DAMAGE[kind](tmp_path / "study.json")
    with pytest.raises(StoreError, match=r"study\.json"):
        open_store(tmp_path)
    again = create_store(tmp_path, "tiny", [tiny])
    assert again.results().equals(rows)
    assert (tmp_path / "study.json").read_bytes() == whole
    [note] = again.notes
    how = "is missing; it is" if kind == "deleted" else "; it is kept as study.json.damaged and"
    assert note.endswith(f"{how} written again.")


def test_a_cell_has_one_writer_who_removes_what_the_dead_left(tmp_path, tiny):
    store = create_store(tmp_path, "tiny", [tiny])
    folder = tmp_path / "cells" / tiny.cell
    with store.writing(tiny.cell), pytest.raises(LockedError, match=tiny.cell), store.writing(tiny.cell):
        pass
    left = folder / f".seeds-0-0-aa.parquet.{socket.gethostname()}.{2**22 + 1}.partial"
    left.write_text("")
    with store.writing(tiny.cell):
        assert not left.exists()
    assert list(folder.iterdir()) == []


def test_overwriting_removes_the_study_and_nothing_else(tmp_path, tiny, rows):
    made = create_store(tmp_path / "study", "tiny", [tiny])
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    (tmp_path / "study" / "notes.txt").write_text("mine")
    (tmp_path / "study" / "charts").mkdir()
    (tmp_path / "study" / "report.html").write_text("old")
    with made.writing(tiny.cell), pytest.raises(LockedError):
        overwrite(tmp_path / "study")
    assert made.results().equals(rows)
    overwrite(tmp_path / "study")
    assert [p.name for p in (tmp_path / "study").iterdir()] == ["notes.txt"]
    with pytest.raises(StoreError, match="holds other files and no study"):
        overwrite(tmp_path / "study")
    overwrite(tmp_path / "nowhere")


def test_own_results_are_anyones_results(tmp_path, tiny, rows):
    made = create_store(tmp_path / "kept", "tiny", [tiny])
    made.write(tiny.cell, tiny.seeds, rows, RECORD)
    kept = made.results()
    kept.write_csv(tmp_path / "tiny.csv")
    read = read_results(tmp_path / "tiny.csv", {"model": "cell"}).drop("model")
    assert_frame_equal(read.select(kept.columns), kept, check_row_order=False)
    for metric in ("exact_match", "token_accuracy"):
        own = summarise(kept, metric, threshold=0.1)
        assert own["seeds"].to_list() == [5] * own.height
        assert_frame_equal(summarise(read, metric, threshold=0.1), own)
    for one, other in zip(final_values(read, "answer_nll"), final_values(kept, "answer_nll"), strict=True):
        assert_frame_equal(one, other)
