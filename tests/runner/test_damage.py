"""Every file of a results folder flipped, shortened or deleted, one at a time: mended or of no effect."""

import dataclasses
import json
import shutil
import socket
from types import SimpleNamespace

import pytest

from chunks import called, run_chunk
from jaxemerge import paired
from jaxemerge.report import report_damage, write_report
from jaxemerge.runner import checkpoint
from jaxemerge.runner import jobs as planning
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.records import StoreError
from jaxemerge.runner.signals import StoppedError

KEY = ["init_seed", "step", "split", "length", "metric"]
EARLIER, LATER = 7, 10  # steps of the two checkpoints
KINDS = ("flipped", "truncated", "deleted")


def spoilt(path, kind):
    content = path.read_bytes()
    place = len(content) // 2
    while content[place : place + 1].isspace():  # means nothing in JSON
        place += 1
    if kind == "deleted":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


class Stop:
    """A stop at the second chunk's step 10."""

    asked = False

    def __bool__(self):
        return self.asked

    def raise_if_asked(self):
        if self.asked:
            raise StoppedError(15)


def trained(folder, experiment, stop=None, interval=300.0):
    """What the command line does: the store after it, and all that a person was told."""
    store = create_store(folder, "tiny", [experiment])
    told = [*store.notes, *store.mend()]
    for job in jobs([experiment], store, chunk=2):
        for seeds in job.chunks:
            with store.writing(experiment.cell):
                for seen in run_chunk(job, seeds, store, stop=stop, interval=interval, say=told.append):
                    if stop is not None and seeds == paired([2, 3]) and seen.step >= 10:
                        stop.asked = True
    return store, told


@pytest.fixture(scope="module")
def cell(tiny):
    return dataclasses.replace(tiny, steps=15, evaluations=(5, 10), seeds=paired(range(4)))


@pytest.fixture(scope="module")
def whole(cell, tmp_path_factory):
    """A folder with a finished chunk, a half-trained one with two checkpoints, a report, a dead lock."""
    patch, true = pytest.MonkeyPatch(), planning.make_plan
    patch.setattr(planning, "make_plan", lambda *a, **k: dataclasses.replace(true(*a, **k), dispatch=3))
    folder = tmp_path_factory.mktemp("whole") / "out"
    with pytest.raises(StoppedError):
        trained(folder, cell, Stop(), interval=0.0)
    write_report(open_store(folder).results(), folder, title="tiny")
    (folder / "cells" / cell.cell / ".lock").write_text(
        json.dumps({"host": socket.gethostname(), "pid": 1, "since": ""})
    )
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def rows(cell, whole, tmp_path_factory):
    """Of the study trained in one go."""
    found = trained(tmp_path_factory.mktemp("again") / "out", cell)[0].results()
    assert found["init_seed"].unique().sort().to_list() == [0, 1, 2, 3]
    return found.sort(KEY)


def files_of(folder):
    return [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]


def test_the_folder_is_a_real_one(whole, cell):
    names = list(map(str, files_of(whole)))
    inside = f"cells/{cell.cell}/"
    assert {"study.json", "report.html", "report.json", f"{inside}.lock"} < set(names)
    assert sum(name.startswith("charts/") for name in names) > 5
    assert sum(name.startswith("tables/") for name in names) > 3
    assert sum(name.endswith(".parquet") for name in names) == 1
    assert sum(name.endswith("chunk.json") for name in names) == 2
    assert len([name for name in names if "/arrays/" in name]) > 40


def copies(whole, folder, kind, wanted):
    """One copy of the folder after the other, each with another of the wanted files damaged."""
    for name in filter(wanted, files_of(whole)):
        shutil.copytree(whole, folder)
        spoilt(folder / name, kind)
        if not (folder / name).exists() or (folder / name).read_bytes() != (whole / name).read_bytes():
            yield name  # but for empty files, which cannot be shortened
        shutil.rmtree(folder)


def in_turn(folder, names, kind):
    """Damages one file after the other, and heals it."""
    for name in names:
        content = (folder / name).read_bytes()
        spoilt(folder / name, kind)
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            yield name
        (folder / name).write_bytes(content)


def test_the_healthy_folder_goes_on(whole, cell, rows, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    store, told = trained(tmp_path / "out", cell)
    assert told == [f"{called(cell)}: resuming from the checkpoint of step {LATER}."]
    assert store.results().sort(KEY).equals(rows)
    assert store.damage() == report_damage(whole) == []


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_results_and_descriptions_is_named_and_mended(whole, cell, rows, tmp_path, kind):
    """Verifying names it; the same command then gives the same rows, and says what is trained again."""
    folder, seen = tmp_path / "out", []
    for name in copies(whole, folder, kind, of_cell):
        seen.append(name)
        named = [line for line in open_store(folder).damage() if str(folder / name.with_suffix("")) in line]
        store, told = trained(folder, cell)
        assert store.results().sort(KEY).equals(rows), name
        assert store.damage() == [], name
        mended = [line for line in told if "resuming from" not in line]
        if name.name == ".lock":  # one that nobody holds means nothing
            assert named == mended == []
        else:
            assert len(named) == 1, name
            assert len(mended) == (f"{EARLIER:09d}" not in name.parts), name  # a later one is whole
            assert all(line.endswith(("its seeds are trained again.", "is not used.")) for line in mended)
    assert len(seen) == 5


def of_cell(name):
    return name.parts[0] == "cells" and "arrays" not in name.parts


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_the_study_is_named_and_mended(whole, cell, rows, tmp_path, kind):
    folder = tmp_path / "out"
    for _ in copies(whole, folder, kind, lambda name: name.name == "study.json"):
        with pytest.raises(StoreError, match=r"study\.json"):
            open_store(folder)
        store, told = trained(folder, cell)
        assert "study.json" in told[0]
        assert told[0].endswith("written again.")
        assert store.results().sort(KEY).equals(rows)
        assert (folder / "study.json").read_bytes() == (whole / "study.json").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_a_checkpoint_is_named_and_another_is_used(whole, cell, tmp_path, kind, monkeypatch):
    """Every file of both: what is loaded is what was saved."""
    monkeypatch.setattr(checkpoint, "_orbax", remembered(checkpoint._orbax))
    [chunk] = open_store(whole).checkpointed(cell.cell)
    there = {step: checkpoint._load(chunk.folder / f"{step:09d}") for step in (EARLIER, LATER)}
    folder, seen = tmp_path / "chunk", 0
    shutil.copytree(chunk.folder, folder)
    for name in in_turn(folder, files_of(folder), kind):
        lines, seen = [], seen + 1
        spoilt_step = int(name.parts[0])
        [named] = checkpoint.Checkpoints(folder).damage()
        assert str(folder / name) in named
        found = checkpoint.Checkpoints(folder).latest(lines.append)
        assert found.step == (EARLIER if spoilt_step == LATER else LATER)
        if spoilt_step == LATER:
            assert lines == [f"{named}; the checkpoint of step {LATER} is not used."]
            (folder / f"{LATER:09d}.damaged").rename(folder / f"{LATER:09d}")
        assert bytes_of(found) == bytes_of(there[found.step])
    assert seen > 60


def bytes_of(loaded):
    return {name: array.tobytes() for name, array in loaded.arrays.items()}


def remembered(true):
    """Orbax, for files that it has not seen: what it makes of the same bytes is the same."""
    known = {}

    def restore(folder):
        key = tuple((str(name), (folder / name).read_bytes()) for name in files_of(folder))
        if key not in known:
            known[key] = true(lambda saver: saver.restore(folder))
        return known[key]

    return lambda call: call(SimpleNamespace(restore=restore))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_a_report_is_named_and_it_is_written_again(whole, tmp_path, kind):
    names = [name for name in files_of(whole) if name.parts[0] != "cells" and name.name != "study.json"]
    assert len(names) > 20
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    for name in in_turn(folder, names, kind):
        assert [str(folder / name) in line for line in report_damage(folder)] == [True]
    for name in names:
        spoilt(folder / name, kind)
    assert report_damage(folder) or kind == "deleted"  # then there is no report
    write_report(open_store(folder).results(), folder, title="tiny")
    assert report_damage(folder) == []
    same = [name for name in names if name.suffix in (".csv", ".html")]  # pictures number their parts anew
    assert all((folder / name).read_bytes() == (whole / name).read_bytes() for name in same)


def test_a_folder_without_a_report_has_no_damaged_one(tmp_path):
    assert report_damage(tmp_path) == []
