"""Killed, stopped, crowded, damaged, out of space: the same command again leads to the same results."""

import collections
import contextlib
import json
import random
import shutil
import signal
import subprocess
import time

import polars as pl
import pytest

import run
from jaxemerge.runner.opening import open_store
from traced_run import Running

STUDY = ["--chunk", "2", "--checkpoint-every", "0"]
KEY = ["cell", "init_seed", "step", "split", "length", "metric"]


def started(folder, *more, study=STUDY, stop=0, report=False):
    """The program, at work; it notes what it does beside the folder."""
    return Running(notes_of(folder), stop, [*study, *more, "--out", folder], report=report)


def ended(folder, *more, code=0, **options):
    """Runs to its end; what it printed."""
    running = started(folder, *more, **options)
    assert running.wait() == code, running.printed
    return running.printed


def notes_of(folder):
    return folder.with_name(f"{folder.name}.notes")


def lines_of(folder):
    notes = notes_of(folder)
    return notes.read_text().count("\n") if notes.exists() else 0


def noted(folder, *kinds):
    lines = map(json.loads, notes_of(folder).read_text().splitlines())
    return [line for line in lines if line["kind"] in kinds]


def parts(folder):
    """Bytes of all finished rows by name."""
    return {p.name: p.read_bytes() for p in folder.rglob("*.parquet")}


def leftovers(folder):
    """Whatever should not outlive a run."""
    wanted = (".partial", ".lock", ".damaged", "checkpoints")
    return [p for p in folder.rglob("*") if p.name.endswith(wanted)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study run in one go, how long that took, and its bytes; compiled programs are cached then."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    ended(folder, report=True)
    again = tmp_path_factory.mktemp("again") / "out"
    began = time.monotonic()
    ended(again)
    assert parts(again) == parts(folder)
    return parts(folder), time.monotonic() - began, folder


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing_and_cost_an_interval_at_most(undisturbed, tmp_path):
    """20 kills: weights, optimizer and rows are the same bits; each costs at most one dispatch."""
    expected, seconds, whole = undisturbed
    states = {(str(line["seeds"]), line["step"]): line["digest"] for line in noted(whole, "done")}
    steps = sorted({step for _, step in states})
    assert len(steps) == 6
    folder, moments, runs = tmp_path / "0", random.Random(4), 1
    for i in range(20):
        noted_before, running = lines_of(folder), started(folder, report=i % 4 == 0)
        # Of a busy machine the clock alone would strike mostly before there is anything to lose.
        dispatches = moments.randrange(4)
        while running.poll() is None and lines_of(folder) < noted_before + dispatches:
            time.sleep(0.005)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=moments.uniform(0.0, 0.1 if dispatches else 1.0) * seconds)
        running.kill()
        if running.wait() == 0:
            folder, runs = tmp_path / str(runs), runs + 1  # from the beginning
    ended(folder)
    lost = []
    for i in range(runs):
        assert parts(tmp_path / str(i)) == expected
        assert leftovers(tmp_path / str(i)) == []
        reached = {}
        for line in noted(tmp_path / str(i), "done", "begun"):
            seeds, step = str(line["seeds"]), line["step"]
            assert line["digest"] == states[seeds, step]
            if line["kind"] == "begun" or (step == 0 and seeds in reached):
                lost.append(steps.index(reached[seeds]) - steps.index(step))
            reached[seeds] = step
    assert len(lost) > 3
    assert set(lost) <= {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_and_a_line_on_how_to_go_on(undisturbed, tmp_path, number, code):
    expected, _, _ = undisturbed
    running = started(tmp_path / "out", "--checkpoint-every", "300")
    running.wait_until("compiling for")
    time.sleep(0.5)
    running.send_signal(number)
    assert running.wait() == code, running.printed
    output = running.printed
    assert f"{signal.Signals(number).name}: stopping after a checkpoint." in output
    assert "Run the same command again to resume." in output
    assert not [p for p in leftovers(tmp_path) if p.name != "checkpoints"]
    ended(tmp_path / "out")
    assert parts(tmp_path / "out") == expected


@pytest.mark.slow
def test_four_processes_of_which_two_are_killed_commit_each_of_twelve_cells_once(tmp_path):
    """The survivors finish what the killed ones had begun."""
    folder = tmp_path / "out"
    study = ["twelve", "--checkpoint-every", "0", "--chunk", "2"]  # a chunk a cell: to be shared out
    ended(tmp_path / "whole", study=study)
    runs = [started(folder, study=study) for _ in range(4)]
    deadline = time.monotonic() + 120
    victims = {runs[0].pid, runs[1].pid}
    while victims - at_work(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    for victim in runs[:2]:
        victim.kill()
    codes = [process.wait() for process in runs]
    assert codes == [-9, -9, 0, 0], [process.printed for process in runs]
    committed = collections.Counter(line["cell"] for line in noted(folder, "committed"))
    assert set(committed.values()) == {1}
    assert len(committed) >= 10  # a killed process may not have come to note its last
    assert len(list(folder.rglob("*.parquet"))) == 12
    assert leftovers(folder) == []
    assert parts(folder) == parts(tmp_path / "whole")
    rows = open_store(folder).results()
    assert rows.select("learning_rate", *KEY).is_duplicated().sum() == 0
    assert rows.group_by("cell").agg(pl.col("init_seed").n_unique())["init_seed"].to_list() == [2] * 12


def at_work(folder):
    """Processes that have trained something."""
    with contextlib.suppress(FileNotFoundError):
        return {line["pid"] for line in noted(folder, "done")}
    return set()


@pytest.mark.slow
def test_a_second_process_is_refused_with_the_name_of_the_first(undisturbed, tmp_path):
    folder, longer = tmp_path / "out", ["--set", "steps=1000000"]
    first = started(folder, *longer)
    deadline = time.monotonic() + 60
    while not list(folder.glob("cells/*/.lock")) and time.monotonic() < deadline:
        time.sleep(0.05)
    output = ended(folder, *longer, code=2)
    first.kill()
    first.wait()
    [line] = [line for line in output.splitlines() if line.startswith("error")]
    assert f"is being written by process {first.pid} on " in line


@pytest.mark.slow
def test_what_eight_devices_began_goes_on_on_two_and_on_one(tmp_path):
    """What is loaded is what was saved, to the bit; from there on it is rounded otherwise.

    All rows agree with those of one device to 2e-6 before the first change of devices (seen: 4e-7), and to
    2e-5 after it (seen: 4e-7): long training amplifies rounding.
    """
    folder, eight = tmp_path / "out", [*STUDY, "--seeds", "8", "--chunk", "8"]
    ended(folder, "--cpu-devices", "8", study=eight, stop=8, code=143)
    ended(folder, "--cpu-devices", "2", study=eight, stop=22, code=143)
    output = ended(folder, "--cpu-devices", "1", study=eight)
    assert "resuming from the checkpoint of step 22." in output
    done = {line["step"]: line["digest"] for line in noted(folder, "done")}
    assert [line["step"] for line in noted(folder, "begun")] == [8, 22]
    assert all(done[line["step"]] == line["digest"] for line in noted(folder, "begun"))
    ended(tmp_path / "one", "--cpu-devices", "1", study=eight)
    found, expected = (open_store(path).results().sort(KEY) for path in (folder, tmp_path / "one"))
    assert found.drop("value").equals(expected.drop("value"))
    for rows, bound in ((pl.col("step") <= 8, 2e-6), (pl.col("step") > 8, 2e-5)):
        assert (found.filter(rows)["value"] - expected.filter(rows)["value"]).abs().max() < bound
    [record] = open_store(folder).records()
    assert [(part["until"], part["provenance"]["devices"]) for part in record["earlier"]] == [(8, 8), (22, 2)]


@pytest.fixture
def small_disk(tmp_path):
    """A function that gives a file system of so many MB, and later more."""
    place = tmp_path / "disk"
    place.mkdir()
    with contextlib.ExitStack() as later:

        def of(size, *again):
            options = ",".join([*again, f"size={size}m"])
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"no small file system can be mounted: {done.stderr.strip()}")
            if not again:
                later.callback(subprocess.run, ["umount", str(place)], check=True)
            return place

        yield of


@pytest.mark.slow
def test_a_full_disk_is_one_clear_line_and_costs_an_interval(undisturbed, small_disk):
    expected, _, _ = undisturbed
    folder = small_disk(3) / "out"
    output = ended(folder, code=1)
    *_, line = output.splitlines()  # slow machines print lines of progress before it
    assert output.count("error") == 1
    assert line.startswith(f"error: {folder}/cells/")
    assert line.endswith("no space left. Finished seeds are kept: make room, run the command again")
    [chunk] = [chunk for cell in open_store(folder).cells for chunk in open_store(folder).checkpointed(cell)]
    kept = chunk.latest(pytest.fail)
    assert kept.step == noted(folder, "done")[-2]["step"] > 0
    assert [p for p in leftovers(folder) if p.name != "checkpoints"] == []
    again = ended(folder, code=1)
    assert f"resuming from the checkpoint of step {kept.step}." in again
    assert again.splitlines()[-1].startswith(f"error: {folder}/cells/")
    small_disk(32, "remount")
    assert f"resuming from the checkpoint of step {kept.step}." in ended(folder)
    assert parts(folder) == expected
    assert leftovers(folder) == []


@pytest.mark.slow
def test_damage_is_verified_named_and_mended(undisturbed, tmp_path, capsys):
    expected, _, whole = undisturbed
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    assert run.main(["verify", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(": all 2 finished chunks are whole.\n")
    one = shutil.copytree(folder, tmp_path / "one")
    for path in min(one.rglob("seeds*.json")).parent.glob(min(one.rglob("seeds*.json")).stem + ".*"):
        path.unlink()
    assert run.main(["verify", str(one)]) == 0
    assert "all 1 finished chunks are whole. Results of 2 seeds that were asked for are missing." in (
        " ".join(capsys.readouterr().out.split())
    )
    spoil(folder / "report.html")
    assert run.main(["verify", str(folder)]) == 1
    output = capsys.readouterr().out
    assert "report.html is damaged: its content does not match its digest\n" in output
    assert output.endswith(f" report {folder}\n")
    victim = min(folder.rglob("*.parquet"))
    spoil(victim)
    assert run.main(["verify", str(folder)]) == 1
    assert f"{victim.name} is damaged" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        run.main(["report", str(folder)])
    assert stopped.value.code == 2
    assert "is damaged: its content does not match its digest; train" in capsys.readouterr().err
    output = ended(folder, report=True)
    assert "its seeds are trained again." in output
    assert "Training 2 seeds in 1 cells" in output
    assert parts(folder) == expected
    assert run.main(["verify", str(folder)]) == 0


def spoil(path):
    content = path.read_bytes()
    path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])


@pytest.mark.slow
def test_overwrite_trains_all_again(undisturbed, tmp_path):
    expected, _, whole = undisturbed
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    other = ended(folder, "--overwrite", "--set", "steps=30")
    assert "Training 4 seeds in 1 cells" in other
    assert parts(folder) != expected
