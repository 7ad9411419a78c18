"""Numbers along the training: right, once per step, and there after whatever comes between."""

import json
import os
import re
import subprocess
import sys
import types

import jax
import numpy as np
import polars as pl
import pytest

from jaxemerge import paired
from jaxemerge.runner import tracking
from jaxemerge.runner.opening import create_store
from jaxemerge.runner.scores import Progress
from jaxemerge.runner.tracking import ChunkMetrics, flat, tracker

THRESHOLD = 0.3


@pytest.fixture
def store(tiny, tmp_path):
    made = create_store(tmp_path / "out", "tiny", [tiny])
    with made.writing(tiny.cell):
        pass
    return made


def part(evaluation, n):
    """The first n seeds of an evaluation."""
    return jax.tree.map(lambda x: x if isinstance(x, int) else x[:n], evaluation)


def follow(store, experiment, seeds, evaluations, **options):
    """Has the file of a chunk follow these; where it is."""
    path = store.metrics(experiment.cell, seeds)
    with ChunkMetrics(path, experiment, seeds, threshold=THRESHOLD, **options) as told:
        for one in evaluations:
            told(Progress(one.step, one.train_loss, part(one, len(seeds))))
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(line):
    return {k: v for k, v in line.items() if k not in ("seconds", "seed_steps_per_second", "time")}


def steps(path):
    return [line["step"] for line in lines(path)]


def test_lines_hold_what_the_results_say(store, tiny, population):
    found = lines(follow(store, tiny, tiny.seeds, population.evaluations))
    rows = population.frame()
    assert [line["step"] for line in found] == [0, 3, 7]
    for line in found:
        now = rows.filter(pl.col("step") == line["step"])
        exact = now.filter(pl.col("metric") == "exact_match")
        assert [test["length"] for test in line["tests"]] == [3, 5]
        for test in line["tests"]:
            values = exact.filter(pl.col("length") == test["length"])["value"].to_numpy()
            assert test["exact_match"] == pytest.approx(values.mean(), abs=1e-6)
            assert test["successes"] == (values >= THRESHOLD).sum()
        losses = sorted(now.filter(pl.col("metric") == "train_loss")["value"])
        assert list(line["loss"].values()) == pytest.approx([losses[0], losses[2], losses[4]], rel=1e-6)
        assert line["tokens"] == now["tokens"].unique().item() == line["step"] * 2 * 13
        assert (line["seeds"], line["diverged"], line["members"]) == (5, 0, "0 1 2 3 4")


def test_seconds_go_on_and_rates_are_those_between_evaluations(store, tiny, population, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: clock[0])
    first, second, third = population.evaluations
    path = store.metrics(tiny.cell, tiny.seeds)

    def session(*moments):
        with ChunkMetrics(path, tiny, tiny.seeds, threshold=THRESHOLD) as told:
            for seconds, one in moments:
                clock[0] += seconds
                told(Progress(one.step, one.train_loss, one))

    session((8.0, first), (0.5, second))
    clock[0] += 3600.0  # until it is begun again
    session((9.0, second), (2.0, third))
    assert [line["seconds"] for line in lines(path)] == [8.0, 17.0, 19.0]
    assert [line["seed_steps_per_second"] for line in lines(path)] == [None, None, 10.0]


def test_diverged_seeds_are_failures_in_every_number(store, tiny, population):
    last = population.evaluations[-1]
    perfect = last.scores._replace(exact=np.ones_like(last.scores.exact) * 100)
    lost = np.array([True, False, True, True, False])
    loss = np.array([np.nan, 1.0, 0.5, np.inf, 2.0], np.float32)
    (line,) = lines(
        follow(store, tiny, tiny.seeds, [last._replace(scores=perfect, diverged=lost, train_loss=loss)])
    )
    assert line["diverged"] == 3
    assert line["loss"] == {"low": 1.0, "median": None, "high": None}
    assert [test["successes"] for test in line["tests"]] == [2, 2]
    assert "loss/median" not in flat(line)
    assert flat(line)["loss/low"] == 1.0
    assert flat(line)["successes/test/length3"] == pytest.approx(0.4)


@pytest.mark.parametrize("again", [1, 2])
def test_after_a_kill_no_step_is_lost_or_there_twice(store, tiny, population, again):
    whole = lines(follow(store, tiny, tiny.seeds, population.evaluations))
    path = store.metrics(tiny.cell, tiny.seeds)
    path.write_text(path.read_text()[:-30])  # killed while it wrote the last line
    follow(store, tiny, tiny.seeds, population.evaluations[again:])
    assert [timeless(line) for line in lines(path)] == [timeless(line) for line in whole]
    seconds = [line["seconds"] for line in lines(path)]
    assert seconds == sorted(seconds)


def test_chunks_that_are_cut_otherwise_take_over_from_the_former(store, tiny, population):
    before = follow(store, tiny, tiny.seeds[:4], population.evaluations[:2])
    other = follow(store, tiny, paired([77, 78]), population.evaluations[:2])
    other.write_text(other.read_text() + '{"cell": ')  # another process is writing to it
    untouched = other.read_bytes()
    half = follow(store, tiny, tiny.seeds[:2], population.evaluations[1:])  # from a checkpoint before step 3
    assert steps(before) == [0]
    assert steps(half) == [3, 7]
    follow(store, tiny, tiny.seeds[:2], population.evaluations)  # and now from the beginning
    assert not before.exists()
    assert steps(half) == [0, 3, 7]
    assert other.read_bytes() == untouched


def test_progress_between_evaluations_writes_nothing(store, tiny):
    path = store.metrics(tiny.cell, tiny.seeds)
    with ChunkMetrics(path, tiny, tiny.seeds, threshold=THRESHOLD) as told:
        told(Progress(2, np.ones(5, np.float32), None))
    assert not path.exists()


def test_a_tracker_that_fails_is_told_of_and_left_out(store, tiny, population):
    class Failing:
        def __init__(self, *arguments):
            self.told = []

        def log(self, step, numbers):
            self.told.append(step)
            raise OSError("no route\nto host")

        def close(self):
            raise AssertionError("it is out")

    said, made = [], Failing()

    def broken(*arguments):
        raise RuntimeError("no account")

    path = follow(
        store, tiny, tiny.seeds, population.evaluations, trackers=[lambda *a: made, broken], say=said.append
    )
    assert said == [
        "Continuing without a tracker: no account",
        "Continuing without a tracker: no route to host",
    ]
    assert made.told == [0]
    assert steps(path) == [0, 3, 7]
    assert re.fullmatch(r"seeds-0-4-\w{8}\.jsonl", path.name)


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("tensorboard", "tensorboardX")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    command = re.escape(f"pip install 'jaxemerge[{name}]'")
    with pytest.raises(ValueError, match=f"^--track {name} needs {package}: {command}$"):
        tracker(name, tmp_path, "study")


READER = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1]).Reload()
scalars = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
print(json.dumps(scalars))
"""


def test_tensorboard_reads_every_step_once_also_after_an_interruption(store, tiny, population):
    trackers = [tracker("tensorboard", store.folder, "tiny")]
    follow(store, tiny, tiny.seeds, population.evaluations[:2], trackers=trackers)
    path = follow(store, tiny, tiny.seeds, population.evaluations[1:], trackers=trackers)
    (events,) = {found.parent for found in store.folder.rglob("events.out.tfevents.*")}
    assert events == store.folder / "tensorboard" / tiny.cell / path.stem
    done = subprocess.run([sys.executable, "-c", READER, str(events)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scalars = json.loads(done.stdout)
    written = {line["step"]: flat(line) for line in lines(path)}
    assert scalars.keys() == written[7].keys()
    for name, seen in scalars.items():
        expected = [[step, numbers[name]] for step, numbers in written.items() if name in numbers]
        assert seen == [[step, pytest.approx(value, rel=1e-5)] for step, value in expected]


class FakeWandb(types.ModuleType):
    """Keeps what it is told per run id, and takes no step twice, as the real one does."""

    def __init__(self):
        super().__init__("wandb")
        self.runs, self.options = {}, []

    def Settings(self, **options):
        return options

    def init(self, **options):
        self.options.append(options)
        history = self.runs.setdefault(options["id"], [])

        def log(numbers, step):
            assert step >= run.step
            history.append((step, numbers))
            run.step = step + 1

        run = types.SimpleNamespace(step=history[-1][0] + 1 if history else 0, log=log, finish=lambda: None)
        return run


def test_wandb_goes_on_with_the_same_run_and_is_told_no_step_twice(store, tiny, population, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    trackers = [tracker("wandb", store.folder, "tiny")]
    follow(store, tiny, tiny.seeds, population.evaluations[:2], trackers=trackers)
    path = follow(store, tiny, tiny.seeds, population.evaluations[1:], trackers=trackers)
    follow(store, tiny, paired([77]), population.evaluations[:1], trackers=trackers)
    first, second, third = fake.options
    assert first == second
    assert first["id"] != third["id"]
    assert (first["project"], first["group"], first["job_type"]) == ("jaxemerge", "tiny", tiny.cell)
    assert first["name"] == f"{tiny.cell} {path.stem}"
    assert first["config"]["model"]["depth"] == 1
    assert [step for step, _ in fake.runs[first["id"]]] == [0, 3, 7]
    assert fake.runs[first["id"]][-1][1] == flat(lines(path)[-1])


OFFLINE = """
import json, pathlib, sys
from jaxemerge.runner.tracking import tracker
folder = pathlib.Path(sys.argv[1])
path = folder / "cells" / "cell" / "metrics" / "seeds-0-4.jsonl"
path.parent.mkdir(parents=True, exist_ok=True)
opened = tracker("wandb", folder, "study")(path, {"cell": "cell", "steps": 7}, 0)
for step, value in json.loads(sys.argv[2]):
    opened.log(step, {"loss/median": value})
opened.close()
"""


@pytest.mark.slow
def test_wandb_itself_takes_it_without_a_network(tmp_path):
    pytest.importorskip("wandb")
    for told in ([[0, 2.5], [3, 1.5]], [[7, 0.5]]):
        words = [sys.executable, "-c", OFFLINE, str(tmp_path), json.dumps(told)]
        environment = {**os.environ, "WANDB_MODE": "offline"}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
    kept = (tmp_path / "cells" / "cell" / "metrics" / "seeds-0-4.wandb").read_text()
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert [file.stem for file in files] == [f"run-{kept}"] * 2
    assert b"loss/median" in files[0].read_bytes()
