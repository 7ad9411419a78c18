"""Nothing that is read is run, no name leads out of its folder, and no other user's programs are loaded."""

import dataclasses
import re
from pathlib import Path

import jax
import pytest
from rich.console import Console

import jaxemerge
from jaxemerge import Count, Experiment, devices, neox
from jaxemerge.cache import keep_compiled
from jaxemerge.cli import terminal
from jaxemerge.devices import DeviceError
from jaxemerge.files import write_sealed
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.records import StoreError

ROOT = Path(jaxemerge.__file__).parents[1]
READ_AND_RUN = re.compile(
    r"\bc?pickle\b|\bdill\b|\bcloudpickle\b|\bjoblib\b|\bmarshal\b|\bshelve\b|(?<![.\w])(?:eval|exec)\(|\bos\.system\b"
    r"|\byaml\b|allow_pickle=True|torch\.load\b|shell=True|\bread_pickle\b|\bimp\b|\b__import__\("
)


def test_no_program_reads_what_could_run():
    """The package, the command line and the benchmarks."""
    sources = [
        p for folder in ("jaxemerge", "experiments", "benchmarks") for p in (ROOT / folder).rglob("*.py")
    ]
    assert len(sources) > 100
    assert [str(p) for p in sources if READ_AND_RUN.search(p.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "planted",
    ["import pickle", "np.load(f, allow_pickle=True)", "torch.load(f)", "yaml.safe_load(f)", "x = eval(s)"],
)
def test_the_search_finds_what_it_looks_for(planted):
    assert READ_AND_RUN.search(planted)
    assert not READ_AND_RUN.search("jax.eval_shape(f); ast.literal_eval(s); model.eval(); np.load(f)")


class Named(Count):
    """The count task under another name."""

    title = ""

    @property
    def name(self):
        return self.title


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".x", "", "a b", "<b>", "x\n", "[red]", "ö"])
def test_names_of_tasks_that_are_no_names_of_folders_are_refused(name, monkeypatch):
    monkeypatch.setattr(Named, "title", name)
    with pytest.raises(ValueError, match="must be letters, digits, or any of"):
        Experiment(Named(11, 3, (3, 5)), neox(1, 24, 3), context=13)
    monkeypatch.setattr(Named, "title", "plain_name-2.0+x")
    assert Experiment(Named(11, 3, (3, 5)), neox(1, 24, 3), context=13).cell.startswith("plain_name-2.0+x-")


@pytest.mark.parametrize("cell", ["../../x", "/tmp/x", "a/../b", "..", ".hidden", "<script>", "[red]x", ""])
def test_a_folder_that_names_cells_elsewhere_is_refused(tmp_path, cell):
    """Also where its digest is right, which anybody can work out."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    write_sealed(folder / "study.json", {"format": 2, "study": "x", "cells": {cell: {"steps": 1}}})
    with pytest.raises(StoreError, match="which is no name of a folder"):
        open_store(folder)
    with pytest.raises(StoreError, match="which is no name of a folder"):
        create_store(folder, "x", [Experiment(Count(11, 3, (3, 5)), neox(1, 24, 3), context=13)])
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "study.json"]


def test_studies_and_families_may_be_called_anything(tmp_path, capsys):
    """They are part of no path; reports escape them, see tests/test_report.py, and so does the terminal."""
    odd = "../../<script>[/red]"
    cell = Experiment(Count(11, 3, (3, 5)), neox(1, 24, 3), context=13, study=odd, family=odd)
    create_store(tmp_path / odd.replace("/", "_"), odd, [cell])
    assert [p.name for p in tmp_path.iterdir()] == [odd.replace("/", "_")]
    assert open_store(tmp_path / odd.replace("/", "_")).study == odd
    terminal.say(Console(), odd)
    assert capsys.readouterr().out == f"{odd}\n"


def test_a_folder_of_another_format_is_refused_and_left_alone(tmp_path):
    write_sealed(tmp_path / "study.json", {"format": 3, "study": "x", "cells": {}})
    before = (tmp_path / "study.json").read_bytes()
    cell = Experiment(Count(11, 3, (3, 5)), neox(1, 24, 3), context=13)
    for use in (lambda: open_store(tmp_path), lambda: create_store(tmp_path, "x", [cell])):
        with pytest.raises(StoreError, match="is a results folder of format 3; this version writes 2"):
            use()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("study.json", before)]


def test_a_folder_without_description_is_gone_on_with_by_its_own_cells_alone(tmp_path):
    first = Experiment(Count(11, 3, (3, 5)), neox(1, 24, 3), context=13)
    other = dataclasses.replace(first, steps=7)
    for damage in ("{", None):
        folder = tmp_path / str(damage is None)
        with create_store(folder, "x", [first, other]).writing(other.cell):
            pass
        (folder / "study.json").unlink() if damage is None else (folder / "study.json").write_text(damage)
        with pytest.raises(StoreError, match=rf"lost its study\.json, and holds the cell {other.cell}"):
            create_store(folder, "x", [first])
        assert set(create_store(folder, "x", [first, other]).cells) == {first.cell, other.cell}


@pytest.fixture
def no_cache_yet():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_compiled_programs_are_kept_where_only_this_user_writes(tmp_path, no_cache_yet):
    folder = tmp_path / "cache" / "programs"
    keep_compiled(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert jax.config.jax_compilation_cache_dir == str(folder)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_cache_that_others_write_is_refused(tmp_path, no_cache_yet, mode):
    folder = tmp_path / "programs"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(
        DeviceError, match=rf"is open to others \(mode {mode:o}\), and compiled programs are run"
    ):
        keep_compiled(folder)
    assert jax.config.jax_compilation_cache_dir is None
    folder.chmod(0o755)  # others may read
    keep_compiled(folder)


def test_a_cache_of_another_user_is_refused(tmp_path, no_cache_yet, monkeypatch):
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(devices.os, "getuid", lambda: owner + 1)
    with pytest.raises(DeviceError, match=rf"belongs to user {owner}, and compiled programs are run"):
        keep_compiled(tmp_path / "programs")
