"""The command line: what it prints, what it refuses, what it keeps."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import jax
import polars as pl
import pytest
from jax.errors import JaxRuntimeError
from rich.console import Console

import run
from command_line import fails
from jaxemerge import cli, crossed, paired
from jaxemerge.analysis import rescore
from jaxemerge.cli.cells import chosen_cells, parse_seeds
from jaxemerge.cli.program import parsed
from jaxemerge.cli.studies import Front
from jaxemerge.devices import DeviceError
from jaxemerge.evaluation.metrics import EXACT_MATCH
from jaxemerge.runner import study
from jaxemerge.runner.groups import grouped
from jaxemerge.runner.jobs import jobs
from jaxemerge.runner.opening import create_store, open_store
from jaxemerge.runner.progress import Display
from jaxemerge.training import search
from studies import STUDIES

PROGRAM = Path(__file__).parents[1] / "coarse_run.py"
TINY = ["--set", "model.depth=1", "--set", "steps=6", "--set", "batch=2", "--set", "evaluations=2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["slow"], "error: unknown study 'slow': must be one of count_quick, count_fixed_depth"),
        (["--set", "model.height=3"], "unknown field model.height: must be one of model.depth"),
        (["--set", "model.heads=3"], "heads=3 does not divide width=64"),
        (["--set", "task.test_lengths=10,41"], "test_lengths: 41 is not an answer length of 1 to numbers=40"),
        (
            ["--set", "context=14"],
            "context=14 is shorter than the longest example of count: it must be at least 15",
        ),
        (["--seeds", "0"], "seeds: none given; at least 1 is needed"),
        (["--seeds", "5,5"], "seeds: 5 is given twice"),
        # Numbers are checked before they are expanded or cast.
        (["--seeds", "4294967296"], "--seeds 4294967296: 4294967296 seeds must be at most 1000000"),
        (["--seeds", "0:4294967296"], "4294967296 seeds must be at most 1000000"),
        (["--seeds", "100000x100000"], "10000000000 seeds must be at most 1000000"),
        (["--set", "evaluations=1e9"], "evaluations=1000000000: must be 1 to 100000, or a list of steps"),
        (
            ["--set", "optimizer.learning_rate=1e400"],
            "optimizer.learning_rate=inf: must be a number below 3.4e+38",
        ),
        (["--set", "optimizer.learning_rate=1e39"], "learning_rate=1e+39: must be a number below 3.4e+38"),
        (["--set", "optimizer.weight_decay=1e400"], "weight_decay=inf: must be a number below"),
        (["--set", "model.mlp_ratio=1e400"], "mlp_ratio=inf: the MLP must be 1 to 2147483647 wide"),
        (["--set", "model.init_std=1e400"], "model.init_std=inf: must be a number below"),
        (["--set", "model.depth=9223372036854775808"], "depth=9223372036854775808: must be below 2147483648"),
        (["--set", "model.depth=1e9"], "depth=1000000000: must be 1 to 10000"),
        (["--set", "model.width=9223372036854775808"], "width=9223372036854775808: must be below 2147483648"),
        (["--set", "steps=9223372036854775808"], "steps=9223372036854775808: must be below 2147483648"),
        (["--set", "batch=2147483648"], "batch=2147483648: must be below 2147483648"),
        (["--set", "context=9223372036854775808"], "context=9223372036854775808: must be below"),
        (["--set", "optimizer.warmup=9223372036854775808"], "optimizer.warmup=9223372036854775808: must be"),
        (["--set", "task.numbers=9223372036854775808"], "task.numbers=9223372036854775808: must be below"),
        (["--cpu-devices", "100000"], "'100000' must be a whole number of at most 4096"),
        (["--chunk", "9" * 30], "must be a whole number of at most 2147483647"),
        (["--flops-per-second", "1e400"], "'1e400' must be a positive number"),
        (["--seeds", "many"], "--seeds many: write 24, 8:24, 3,7,11 or 10x25"),
        (["--seeds", "-3"], "seeds: none given; at least 1 is needed"),
        (["--threshold", "0"], "error: --threshold: '0' must be a number in (0, 1]"),
        (["--chunk=-1"], "error: --chunk: '-1' must be a whole number of at least 0"),
        (["--cpu-devices", "0"], "error: --cpu-devices: '0' must be a whole number of at least 1"),
        (["--flops-per-second", "-1"], "error: --flops-per-second: '-1' must be a positive number"),
        (
            ["--checkpoint-every", "nan"],
            "error: --checkpoint-every: 'nan' must be a number of seconds, at least 0",
        ),
        (["--memory", "lots"], "error: --memory: 'lots' must be a size such as 4GB or 500MB"),
        (["--memory", "0GB"], "error: --memory: '0GB' must be a size such as 4GB or 500MB"),
        (["--memory", "1GB"], "memory=1 GB is too little: one seed needs about 1 GB"),
        (["--zzz"], "error: unknown option --zzz: python "),
        (
            ["count_quick", "somewhere"],
            "error: somewhere: run and plan take one study; choose a results folder with --out",
        ),
        (["report"], "run.py report results/count_quick"),
        (["status", "no/such"], "no/such: no such folder"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in fails(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_refused_stay_as_they_are(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    assert "holds other files and no study" in fails(["--out", tmp_path, *TINY], capsys)
    assert "cannot be written" in fails(["--out", tmp_path / "thesis.txt" / "x", *TINY], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert "holds no study" in fails(["report", tmp_path], capsys)


def test_list_names_every_study(capsys):
    assert run.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert all(len(line.split()) > 5 for line in lines)


def test_plans_keep_to_a_budget(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    narrow = ["--set", "model.width=64", "--set", "model.heads=1"]
    for given, budget in (("4GB", 4.0), ("6.5e9", 6.5)):
        assert (
            run.main(
                ["count_fixed_depth", "--plan", "--flops-per-second", "4e14", *narrow, "--memory", given]
            )
            == 0
        )
        table = capsys.readouterr().out.split("In all")[0]
        sizes = [float(word.removesuffix("GB")) for word in table.split() if word.endswith("GB")]
        assert sizes
        assert all(1 < size <= budget for size in sizes)


MATRICES = ("attention/out", "attention/qkv", "mlp/down", "mlp/up")


def test_plan_says_what_muon_orthogonalises(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = ["--flops-per-second", "1e10", "--no-cache"]
    assert run.main(["--plan", *plain, "--optimizer", "Muon", "--set", "optimizer.weight_decay=0"]) == 0
    output = capsys.readouterr().out
    kernels = ", ".join(f"blocks/*/{part}/kernel" for part in MATRICES)
    assert f"3 cells: Muon on {kernels}, on none of the 12 others\n" in output
    assert "weight decay" not in output


def test_plan_prints_every_cell_and_trains_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run.main(["count_fixed_parameters", "--plan", "--flops-per-second", "4e14"]) == 0
    output = capsys.readouterr().out
    for cell in STUDIES["count_fixed_parameters"].cells(quick=False):
        assert f"depth {cell.model.depth}, width {cell.model.width}" in output or (
            f" depth {cell.model.depth} " in output
        )
    assert "In all 1250 seeds" in output
    assert "seeds at once on 2 cpu devices, on each one after the other (map); by formula\n" in output
    kernels = ", ".join(f"blocks/*/{part}/kernel" for part in MATRICES)
    assert f"5 cells: weight decay 0.1 on {kernels}, embedding, head, on none of the 10 others\n" in output
    assert list(tmp_path.iterdir()) == []


def test_plan_says_how_and_since_when(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "measured_rate", lambda recipe, plan: plan.layout.width)
    shown = []
    for options in (["--chunk", "12", "--vmap", "3"], ["--autotune"], []):
        assert run.main(["--plan", "--flops-per-second", "1e10", *TINY, "--seeds", "4", *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        shown.append([line for line in lines if "seeds at once" in line])
    way = "4 seeds at once on 2 cpu devices, on each 2 side by side (vmap)"
    assert shown == [
        [f"1 cell: {way}; {source}"] for source in ("given by hand", "timed now", "timed before")
    ]


def running_out(monkeypatch, folder, most, error):
    """A study of which chunks of more than ``most`` seeds fail, and what it trained."""
    trained = []

    def failing(chunk, store, options):
        if chunk.plan.chunk > most and len(trained) >= 1:
            raise error
        trained.append(len(chunk))
        yield from ()

    monkeypatch.setattr(study, "run_chunk", failing)
    console = Console(file=io.StringIO(), width=200)
    cells = [cell.with_seeds(paired(range(16))) for cell in STUDIES["count_quick"].cells()[:1]]
    store, todo = create_store(folder, "count_quick", cells), jobs(cells, None, chunk=8)
    with Display(console, grouped(todo), 0.2) as display:
        study.train_jobs(todo, store, display)
    assert not list(folder.rglob(".lock*"))
    return trained, console.file.getvalue()


def test_out_of_memory_halves_the_chunk_for_the_seeds_left(monkeypatch, tmp_path):
    trained, output = running_out(monkeypatch, tmp_path, 2, MemoryError())
    assert trained == [8, 2, 2, 2, 2]
    assert "Out of memory: continuing with 4 seeds at once.\n" in output
    assert "Out of memory: continuing with 2 seeds at once.\n" in output


def test_out_of_memory_with_one_seed_per_device_and_other_errors(monkeypatch, tmp_path):
    with pytest.raises(DeviceError, match="out of memory with one seed on each of 2 cpu devices"):
        running_out(monkeypatch, tmp_path, 0, JaxRuntimeError("RESOURCE_EXHAUSTED: no"))
    monkeypatch.undo()
    with pytest.raises(JaxRuntimeError, match="lost"):
        running_out(monkeypatch, tmp_path, 0, JaxRuntimeError("INTERNAL: lost"))
    assert not list(tmp_path.rglob(".lock*"))  # although the error still holds the frames


def test_seed_ranges():
    assert parse_seeds("3") == paired([0, 1, 2])
    assert parse_seeds("8:11") == paired([8, 9, 10])
    assert parse_seeds("7,3") == paired([7, 3])
    assert parse_seeds("2x3") == crossed(range(2), range(3))


def test_weights_to_start_from_must_fit_only_the_cells_that_are_asked_for():
    front = Front(STUDIES)
    options = parsed("run", ["--quick", "--cells", "1"], front, Namespace())
    first, *others = chosen_cells(options, front)
    options.start = first.model.init(first.task.vocabulary, jax.random.key(0))
    started, *left = chosen_cells(options, front)
    assert started.start.arrays
    assert not any(cell.start.arrays for cell in left)
    assert [cell.model for cell in left] == [cell.model for cell in others]
    assert {cell.start for cell in left} == {started.start}  # equal digests: the ids of all cells name it
    options.cells = "1,2"
    with pytest.raises(ValueError, match=r"^start: "):
        chosen_cells(options, front)


def test_the_studies_are_the_papers_cells():
    # Total parameters in millions, from the public description of the count study.
    expected = {
        "count_fixed_depth": ([4] * 5, [64, 128, 256, 384, 512], None),
        "count_fixed_width": ([1, 2, 4, 6, 8], [512] * 5, None),
        "count_fixed_parameters": (
            [1, 2, 4, 7, 16],
            [512, 360, 256, 192, 128],
            [3.31, 3.23, 3.24, 3.17, 3.21],
        ),
    }
    for name, (depths, widths, millions) in expected.items():
        cells = STUDIES[name].cells(quick=False)
        assert [cell.model.depth for cell in cells] == depths
        assert [cell.model.width for cell in cells] == widths
        for cell in cells:
            assert (len(cell.seeds), cell.steps, cell.batch, cell.context) == (250, 10_000, 128, 256)
            assert cell.optimizer.learning_rate == 1e-3
            assert cell.optimizer.warmup == 500
        sizes = [cell.model.total_parameters(cell.task.vocabulary) / 1e6 for cell in cells]
        if millions:
            assert sizes == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_quick_version_with_three_scales_and_a_header(name):
    cells = STUDIES[name].cells(quick=True)
    # Laws of the loss come from many cells, shares of successes from many seeds, their sources from one cell;
    # what takes long to learn has fewer seeds.
    others = {
        "addition_hints": (4, 12),
        "in_context_growth": (5, 10),
        "compute_optimal": (3, 4),
        "init_or_data": (1, 100),
        "induced_emergence": (3, 12),
        "pass_until_scaling": (4, 12),
        "precision": (2, 64),
        "text_loss": (16, 4),
    }
    least, seeds = others.get(name, (3, 16))
    assert len(cells) >= least
    assert all(len(cell.seeds) >= seeds for cell in cells)
    header = STUDIES[name].__doc__
    assert "python experiments/run.py" in header
    for word in ("Cost", "Finds"):
        assert word in header


@pytest.mark.slow
def test_items_and_passes_are_kept_through_the_command_line(capsys, tmp_path):
    """One cell of the study that samples, cut down; the others are missing, so that no report is written."""
    small = ["steps=3", "batch=2", "evaluations=1", "pass_until.cap=9", "pass_until.items=2"]
    changes = [part for text in small for part in ("--set", text)]
    command = ["pass_until_scaling", "--quick", "--cells", "1", "--seeds", "2", "--no-cache", *changes]
    assert run.main([*command, "--keep-items", "--out", str(tmp_path / "it")]) == 0
    capsys.readouterr()
    store = open_store(tmp_path / "it")
    items, passes = store.items(), store.passes()
    assert items.select("init_seed", "item").n_unique() == 2 * 51  # answers of 10 numbers up to 60
    again = rescore(items, EXACT_MATCH).sort("init_seed")["value"].to_list()
    rows = store.results().filter(metric="exact_match", step=3).sort("init_seed")
    assert rows["value"].to_list() == pytest.approx(again)
    assert passes.select("init_seed", "item").rows() == [(0, 0), (0, 50), (1, 0), (1, 50)]
    assert (passes["samples"] <= 9).all()
    assert store.records()[0]["chance"] == pytest.approx(60.0**-10)
    assert store.records()[0]["best_loss"] == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small study with three seeds, run as a program."""
    out = tmp_path_factory.mktemp("study") / "results"
    first = program("--seeds", "3", *TINY, "--threshold", "0.3", "--out", out)
    assert "P(>= 0.3)" in first.stdout
    assert first.returncode == 0, first.stderr
    assert "Training 3 seeds in 1 cells" in first.stdout
    assert "step 6/6" in first.stdout
    return out


def program(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_more_seeds_only_the_missing_ones(folder, capsys):
    parts = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    assert len(parts) == 1
    written = (folder / "report.html").stat().st_mtime_ns
    assert run.main(["--seeds", "3", *TINY, "--out", str(folder)]) == 0
    assert (folder / "report.html").stat().st_mtime_ns == written
    assert "nothing to train" in capsys.readouterr().out
    assert run.main(["--seeds", "5", *TINY, "--out", str(folder)]) == 0
    assert "Training 2 seeds in 1 cells" in capsys.readouterr().out
    assert (folder / "report.html").stat().st_mtime_ns > written
    assert all(path.read_bytes() == content for path, content in parts.items())
    new = [path for path in folder.rglob("*.parquet") if path not in parts]
    assert [pl.read_parquet(path)["init_seed"].unique().sort().to_list() for path in new] == [[3, 4]]


@pytest.mark.slow
def test_a_run_leaves_report_record_and_status(folder, capsys):
    assert (folder / "report.html").stat().st_size > 500_000
    assert {path.suffix for path in (folder / "charts").iterdir()} == {".png", ".svg"}
    [record, *_] = [json.loads(path.read_text()) for path in sorted(folder.glob("cells/*/*.json"))]
    assert record["provenance"]["packages"]["jax"]
    assert record["plan"]["chunk"] >= 3
    assert run.main(["status", str(folder)]) == 0
    assert "depth 1, width 64" in capsys.readouterr().out
    assert run.main(["report", str(folder)]) == 0
    output = capsys.readouterr().out
    assert f"Report: {folder / 'report.html'}\n" in output
    assert "P(>= 0.3)" in output  # as it was trained
    assert cli.main(["report", str(folder)]) == 0  # the installed program, which has no studies
    output = capsys.readouterr().out
    assert "P(>= 0.3)" in output
    assert "No studies here" not in output


@pytest.mark.slow
def test_another_experiment_is_refused_in_the_same_folder(folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    message = fails(["--seeds", "3", *TINY, "--set", "batch=3", "--out", folder], capsys)
    assert (
        "holds another experiment: batch is 2 there and 3 here; choose another folder with --out" in message
    )
    assert {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()} == before


@pytest.mark.slow
def test_control_c_keeps_what_is_finished(tmp_path, capsys, monkeypatch):
    arguments = ["--seeds", "16", "--chunk", "2", *TINY, "--set", "steps=120", "--out", str(tmp_path / "out")]
    command = [sys.executable, str(PROGRAM), *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("*.json"))) < 2 and time.monotonic() < deadline:  # study.json and a chunk's
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    parts = list(tmp_path.rglob("*.parquet"))
    assert 1 <= len(parts) < 8
    assert "SIGINT: stopping after a checkpoint. Press Ctrl-C again to stop at once." in output
    assert f"Interrupted: {len(parts)} of 8 chunks are kept" in output
    assert not [*tmp_path.rglob("*.partial"), *tmp_path.rglob(".lock")]
    monkeypatch.setattr("jaxemerge.cli.report.write", lambda *_, **__: None)  # other tests look at it
    assert run.main(arguments) == 0
    assert f"Training {16 - 2 * len(parts)} seeds" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("*.parquet"))) == 8
