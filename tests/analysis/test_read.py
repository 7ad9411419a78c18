"""Does a frame read from anyone's file say what the file says, and is what it cannot say refused?"""

import gzip
import itertools
import json

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jaxemerge.analysis import (
    cell_labels,
    final_values,
    is_share,
    main_metric,
    read_results,
    scale_column,
    summarise,
)
from jaxemerge.analysis.read import reading
from jaxemerge.analysis.results import TYPES
from jaxemerge.schema import RESERVED, SCHEMA
from jaxemerge.stats import pass_at_k
from synthetic import population_frame

SIZES = {"70M": 70e6, "1.4B": 1.4e9, "410m": 410e6}


def scores(**changes):
    """Three sizes, four runs each: size, run, acc (of 20 items), n."""
    rng = np.random.default_rng(0)
    columns = {
        "size": [size for size in SIZES for _ in range(4)],
        "run": list(range(4)) * 3,
        "acc": (rng.integers(0, 21, 12) / 20).tolist(),
        "n": [20] * 12,
    }
    return pl.DataFrame({**columns, **changes})


NAMES = {"scale": "size", "seed": "run", "value": "acc", "trials": "n"}


def test_the_schema_is_the_runners():
    assert dict(SCHEMA) == TYPES
    read = read_results(scores(), NAMES)
    assert dict(read.schema) == {name: kind() for name, kind in TYPES.items()} | {"size": pl.Float64()}


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "ndjson"])
@pytest.mark.parametrize("name", ["r*", "r?", "r[12]", "~", "s3:x", " ", "a'b\"c", "ü\n"])
def test_names_of_files_are_no_patterns(kind, name, tmp_path):
    """``r*.csv`` is that file, whatever lies beside it."""
    frame = scores()
    for stem, part in ((name, frame), ("r1", frame.reverse()), ("r2", frame.head(4))):
        path = tmp_path / f"{stem}.{kind}"
        if kind in ("csv", "tsv"):
            path.write_text(part.write_csv(separator="\t" if kind == "tsv" else ","))
        else:
            with path.open("wb") as file:
                (part.write_parquet if kind == "parquet" else part.write_ndjson)(file)
    read = read_results(tmp_path / f"{name}.{kind}", NAMES, study="mine")
    assert read.equals(read_results(frame, NAMES, study="mine"))


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl", "frame"])
def test_every_kind_of_source_gives_the_same_frame(kind, tmp_path):
    frame, path = scores(), tmp_path / f"mine.{kind}"
    if kind in ("csv", "tsv"):
        frame.write_csv(path, separator="\t" if kind == "tsv" else ",")
    elif kind != "frame":
        (frame.write_parquet if kind == "parquet" else frame.write_ndjson)(path)
    read = read_results(frame if kind == "frame" else path, NAMES, study="mine")
    assert read.equals(read_results(frame, NAMES, study="mine"))
    assert read["size"].to_list() == [size for size in SIZES.values() for _ in range(4)]
    assert read["value"].to_list() == frame["acc"].to_list()
    assert read["init_seed"].to_list() == read["data_seed"].to_list() == list(range(4)) * 3
    assert scale_column(read) == "size"
    assert cell_labels(read)["label"].to_list() == ["size 70M", "size 410M", "size 1.4B"]


def test_summaries_are_those_of_the_file():
    table = summarise(read_results(scores(), NAMES), "acc", 0.5)
    by_hand = scores().group_by("size").agg(mean=pl.col("acc").mean(), share=(pl.col("acc") >= 0.5).mean())
    expected = {SIZES[size]: (mean, share) for size, mean, share in by_hand.rows()}
    for row in table.rows(named=True):
        assert (row["mean"], row["success"]) == pytest.approx(expected[row["scale"]])


def test_what_is_missing_has_its_default():
    read = read_results(pl.DataFrame({"score": [1.5, 2.5, 7.0]}), {"value": "score"})
    row = read.row(0, named=True)
    assert {name for name, value in row.items() if value is None} == {
        *("depth", "width", "parameters", "flops", "tokens", "length", "trials")
    }
    assert (row["cell"], row["split"], row["step"], row["metric"]) == ("all runs", "test", 0, "score")
    assert read["init_seed"].to_list() == [0, 1, 2]
    assert not read["diverged"].any()


def test_a_scale_may_fill_a_column_of_the_schema():
    for column, meant in (("params", "parameters"), ("Depth", "depth"), ("flop_budget", "flop_budget")):
        read = read_results(
            pl.DataFrame({column: [2.0, 8.0], "v": [0.1, 0.2]}), {"scale": column, "value": "v"}
        )
        assert read[meant].to_list() == [2, 8]
        if meant != "parameters":
            assert scale_column(read) == meant


def test_several_columns_of_scores_are_several_metrics():
    wide = pl.DataFrame({"N": [1e6, 2e6], "loss": [3.0, 2.0], "acc": [0.25, 0.5]})
    read = read_results(wide, {"parameters": "N", "value": ["loss", "acc"], "trials": 4})
    assert read.select("metric", "parameters", "value", "trials").rows() == [
        ("loss", 1_000_000, 3.0, None),
        ("loss", 2_000_000, 2.0, None),
        ("acc", 1_000_000, 0.25, 4),
        ("acc", 2_000_000, 0.5, 4),
    ]
    assert main_metric(read) == "acc"
    assert (is_share(read, "acc"), is_share(read, "loss")) == (True, False)


def test_tasks_are_tests_of_the_same_cells():
    tasks = pl.concat([scores(task=["piqa"] * 12), scores(task=["sciq"] * 12)])
    read = read_results(tasks, NAMES)
    assert read["cell"].n_unique() == 3
    assert set(read["split"]) == {"piqa", "sciq"}
    assert summarise(read, "acc").select("test").n_unique() == 2


def test_cells_are_named_with_as_few_digits_as_tell_them_apart():
    flops = [5.79998910956e18, 5.80123e18, 1.2e19]
    frame = pl.DataFrame({"n": [1e6] * 3, "c": flops, "loss": [3.0, 2.9, 2.8]})
    read = read_results(frame, {"scale": "n", "flops": "c", "value": "loss"})
    assert read["cell"].to_list() == ["flops 5.8e18", "flops 5.801e18", "flops 1.2e19"]


def test_trainings_of_different_length_are_cells_and_steps_are_not():
    runs = pl.DataFrame({"N": [10, 10, 20], "tokens": [100, 200, 100], "loss": [3.0, 2.0, 2.5]})
    read = read_results(runs, {"parameters": "N", "value": "loss"})
    assert read["cell"].n_unique() == 3
    curve = read_results(runs.with_columns(step=pl.Series([1, 2, 1])), {"parameters": "N", "value": "loss"})
    assert curve["cell"].n_unique() == 2


def test_failed_runs_are_kept_and_counted():
    read = read_results(scores(acc=[float("nan"), 0.5, 1.0] * 4), NAMES)
    assert read["diverged"].sum() == read["value"].null_count() == 4
    assert summarise(read, "acc")["diverged"].sum() == 4
    values = final_values(read.with_columns(trials=None), "acc")
    assert values.table["diverged"].sum() == 4
    assert values.runs.height == 8


def test_scores_that_are_no_counts_lose_their_trials():
    kept = read_results(scores(acc=[0.3334, 0.6666] * 6, n=[3] * 12), NAMES)
    assert kept["value"].to_list() == [1 / 3, 2 / 3] * 6
    lost = read_results(scores(acc=[0.31, 0.65] * 6, n=[3] * 12), NAMES)
    assert lost["trials"].null_count() == 12
    assert lost["value"].to_list() == [0.31, 0.65] * 6


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_settings_may_have_the_names_of_columns_that_summaries_have(name):
    frame = scores().rename({"size": name})
    for given in ({**NAMES, "scale": name}, {k: v for k, v in NAMES.items() if k != "scale"}):
        read = read_results(frame, given, by=[] if "scale" in given else [name])
        table = summarise(read, "acc")
        assert table["label"].to_list() == [f"{name.replace('_', ' ')} {s}" for s in ("70M", "410M", "1.4B")]
        assert table["seeds"].to_list() == [4, 4, 4]


def test_a_depth_may_be_zero_and_cells_of_others_are_not_pooled():
    depths = read_results(pl.DataFrame({"depth": [0, 1, 2], "acc": [0.1, 0.2, 0.3]}), {"value": "acc"})
    assert depths["depth"].to_list() == [0, 1, 2]
    cells = pl.DataFrame({"cell": ["small"] * 3 + ["large"] * 3, "acc": [0.1, 0.2, 0.3] * 2})
    assert summarise(read_results(cells, {"value": "acc"}), "acc")["seeds"].to_list() == [3, 3]


def test_own_results_come_back_as_they_were(tmp_path):
    own = population_frame([(1, 64), (2, 64)], 3, (30,), (0, 7))
    own.write_csv(tmp_path / "own.csv")
    read = read_results(tmp_path / "own.csv", {"cell": "cell"})
    keys = ["depth", "init_seed", "step", "metric", "split"]
    known = pl.col("value").fill_nan(None)
    left, right = (
        f.filter(~own["diverged"]).with_columns(known).select(*keys, "parameters", "value")
        for f in (read, own)
    )
    assert_frame_equal(left, right, check_exact=False)
    assert read["diverged"].equals(own["diverged"])


REFUSED = {
    "a name": (scores(), {**NAMES, "value": "ac"}, "value: results has no column 'ac'; did you mean acc?"),
    "no value": (scores().drop("acc"), {"scale": "size"}, "value: results has no column 'value'"),
    "a size": (
        scores(size=["70M", "huge", "1B"] * 4),
        NAMES | {"parameters": "size"},
        "size: 'huge' in row 2",
    ),
    "half a parameter": (
        scores(size=[1.4, 2.8, 7.0] * 4),
        {**NAMES, "scale": "n", "parameters": "size"},
        "size: 1.4 in row 1 must be a whole number of at least 1",
    ),
    "text for a score": (scores(acc=["good"] * 12), NAMES, "acc: 'good' in row 1 is not a number"),
    "only empty scores": (scores(acc=[None] * 12), NAMES, "acc: every row is empty"),
    "an empty seed": (scores(run=[0, 1, None] * 4), NAMES, "run: row 3 is empty; every run needs a seed"),
    "per cents": (scores(acc=[0.5, 45.0] * 6), NAMES, r"acc: 45 \(.*\) is outside \[0, 1\]"),
    "twice": (
        scores(run=[0] * 12),
        NAMES,
        "12 rows are duplicates, the first with cell=size 70000000, init_seed=0",
    ),
    "runs of steps": (
        scores(step=[1, 2] * 6),
        {"scale": "size", "value": "acc"},
        "several runs of size 70000000: name the column that tells them apart as seed",
    ),
    "metrics twice": (
        scores(metric=["m"] * 12),
        {"value": ["acc", "n"]},
        "value: acc, n with a column of metrics: give one or the other",
    ),
    "no rows": (scores().clear(), NAMES, "the frame has no rows: there is nothing to read"),
    "text for failure": (scores(diverged=["perhaps"] * 12), NAMES, "diverged: String must be true or false"),
    "lists": (scores(acc=[[1.0]] * 12), NAMES, r"acc: List\(Float64\) is not a column of numbers"),
    "an empty task": (scores(task=["a", None] * 6), NAMES, "task: row 2 is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_one_line(case):
    frame, columns, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^{message}") as refused:
        read_results(frame, columns)
    assert "\n" not in str(refused.value)


def test_a_share_may_be_demanded():
    with pytest.raises(ValueError, match=r"is outside \[0, 1\]"):
        read_results(pl.DataFrame({"v": [2.0]}), {"value": "v"}, proportion=True)


FILES = {
    "gone.csv": (None, "no such file or folder"),
    "table.xlsx": ("x", "cannot read .xlsx; it must be .csv, .tsv, .parquet"),
    "torn.parquet": ("no parquet", "this is no .parquet file that can be read"),
    "header.csv": ("a,b\n", "the file has no rows"),
    "torn.json": ("{", "this is not JSON"),
    "other.json": ("[1]", "this is no .json file that can be read: it must hold records, columns"),
    "empty.json": ('{"results": {}}', "the results hold no score"),
}


@pytest.mark.parametrize("name", FILES)
def test_refuses_files(name, tmp_path):
    text, message = FILES[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: {message}") as refused:
        read_results(tmp_path / name)
    assert "\n" not in str(refused.value)


def harness(folder, model, scores, *, seed=0, items=40, **config):
    """Writes one file as the harness (0.4) lays it out."""
    tasks = {
        task: {
            "alias": task,
            "acc,none": right / items,
            "acc_stderr,none": 0.01,
            "ppl,none": 9.5,
            "sample_len": 7,
        }
        for task, right in scores.items()
    }
    found = {
        "results": tasks,
        "n-samples": {task: {"original": 99, "effective": items} for task in scores},
        "config": {
            "model": "hf",
            "model_args": f"pretrained={model},dtype=float",
            "random_seed": seed,
            **config,
        },
        "model_name": model,
    }
    path = folder / model.replace("/", "__")
    path.mkdir(parents=True, exist_ok=True)
    (path / f"results_2026-01-01T00-00-0{seed}.json").write_text(json.dumps(found))


def test_results_of_the_harness(tmp_path):
    for number, size in enumerate(("70m", "1.4b")):
        for seed in range(3):
            harness(
                tmp_path, f"EleutherAI/pythia-{size}", {"piqa": 10 + seed, "sciq": 20 * number}, seed=seed
            )
    read = read_results(tmp_path)
    assert read.height == 2 * 3 * 2 * 2
    assert sorted(set(read["parameters"])) == [70_000_000, 1_400_000_000]
    assert scale_column(read) == "parameters"
    assert cell_labels(read)["label"].to_list() == ["EleutherAI/pythia-70m", "EleutherAI/pythia-1.4b"]
    acc = read.filter(metric="acc", split="piqa", parameters=70_000_000).sort("init_seed")
    assert acc.select("init_seed", "value", "trials").rows() == [(s, (10 + s) / 40, 40) for s in range(3)]
    assert read.filter(metric="ppl")["trials"].null_count() == 12
    assert main_metric(read) == "acc"
    [one] = [p for p in tmp_path.rglob("*.json") if "70m" in str(p) and p.stem.endswith("1")]
    assert read_results(one)["init_seed"].unique().to_list() == [1]


def test_harness_counts_parameters_and_older_files_have_bare_names(tmp_path):
    harness(tmp_path, "mine", {"piqa": 7}, model_num_parameters=1234)
    assert set(read_results(tmp_path)["parameters"]) == {1234}
    old = {"results": {"gsm8k": {"acc": 0.25, "acc_stderr": 0.1, "em,strict": 0.5}}, "config": {}}
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "results_old.json").write_text(json.dumps(old))
    read = read_results(tmp_path / "llama")
    assert read.select("model", "metric", "value", "parameters").rows() == [
        ("llama", "acc", 0.25, None),
        ("llama", "em,strict", 0.5, None),
    ]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match=r"nothing: no results_\*.json of lm-evaluation-harness"):
        read_results(tmp_path / "nothing")


def test_runs_of_one_model_and_seed_are_told_apart(tmp_path):
    harness(tmp_path / "a", "mine", {"piqa": 7})
    harness(tmp_path / "b", "mine", {"piqa": 9})
    read = read_results(tmp_path).filter(metric="acc").sort("init_seed")
    assert read.select("init_seed", "value").rows() == [(0, 7 / 40), (1, 9 / 40)]


def test_shots_are_tests_and_other_settings_are_cells(tmp_path):
    harness(tmp_path / "a", "mine", {"gsm8k": 18}, num_fewshot=0)
    harness(tmp_path / "b", "mine", {"gsm8k": 6}, num_fewshot=5)
    read = read_results(tmp_path).filter(metric="acc").sort("split")
    assert read.select("split", "init_seed", "value").rows() == [
        ("gsm8k, 0 shots", 0, 0.45),
        ("gsm8k, 5 shots", 0, 0.15),
    ]


@pytest.mark.parametrize("name", ["limit", "model_dtype", "model_revision"])
def test_settings_of_the_harness_are_cells_of_their_own(name, tmp_path):
    for folder, value in (("a", "one"), ("b", "two")):
        model = {"model_args": "pretrained=mine"}
        harness(tmp_path / folder, "mine", {"piqa": 9}, **model, **{name: value})
    read = read_results(tmp_path).filter(metric="acc")
    assert read["cell"].n_unique() == 2
    assert read["init_seed"].to_list() == [0, 0]


@pytest.mark.parametrize("name", ["results_1.json", "old.json"])
def test_revisions_are_steps_and_names_have_seeds(name, tmp_path):
    for seed in (0, 3):
        for step, score in ((1000, 0.05), (10_000, 0.25), (100_000, 0.45)):
            arguments = f"pretrained=EleutherAI/pythia-70m-seed{seed},revision=step{step}"
            found = {"results": {"piqa": {"acc": score + seed / 100}}, "config": {"model_args": arguments}}
            (tmp_path / f"{seed}-{step}").mkdir()
            (tmp_path / f"{seed}-{step}" / name).write_text(json.dumps(found))
    read = read_results(tmp_path).sort("init_seed", "step")
    assert set(read["cell"]) == {"EleutherAI/pythia-70m"}
    assert read.select("init_seed", "step").rows() == [
        (s, t) for s in (0, 3) for t in (1000, 10_000, 100_000)
    ]
    assert summarise(read, "acc", 0.4).select("seeds", "success").rows() == [(2, 1.0)]


def test_a_missing_metric_is_no_divergence():
    frame = scores(f1=[float("nan"), *[0.5] * 11])
    read = read_results(frame, {**NAMES, "value": ["acc", "f1"]})
    assert not read["diverged"].any()
    assert read.filter(metric="f1")["value"].null_count() == 1
    both = frame.with_columns(acc=pl.when(pl.int_range(12) == 0).then(float("nan")).otherwise("acc"))
    assert read_results(both, {**NAMES, "value": ["acc", "f1"]})["diverged"].sum() == 2


def test_text_that_is_not_named_is_a_setting_and_unused_columns_are_named():
    frame = scores(arch=["attn", "rnn"] * 6, seconds=np.arange(12) / 7)
    found = reading(frame, NAMES)
    assert found.rows["cell"].n_unique() == 6
    assert found.notes == (
        "arch is taken as a setting (attn, rnn); --ignore arch pools them",
        "rows differ in columns that are not used: seconds",
    )
    assert read_results(frame, NAMES, ignore=["arch"])["cell"].n_unique() == 3
    names = scores(run_id=[f"r{i}" for i in range(12)])
    assert read_results(names, NAMES)["cell"].n_unique() == 3


def test_duplicates_say_which_column_distinguishes_them():
    twice = pl.concat([scores(lr=[0.1] * 12), scores(lr=[0.3] * 12)])
    with pytest.raises(
        ValueError, match=r"24 rows are duplicates, .*; they differ in lr: name it as the seed"
    ):
        read_results(twice, NAMES)
    assert read_results(twice, NAMES, by=["lr"])["cell"].n_unique() == 6


def expected():
    return read_results(scores(), NAMES, study="mine")


def write_semicolons(path):
    text = scores().with_columns(pl.col("acc").cast(pl.String).str.replace(".", ",", literal=True))
    text.write_csv(path, separator=";")


def write_per_cent(path):
    scores().with_columns(acc=pl.format("{}%", 100 * pl.col("acc"))).write_csv(path)


FORMATS = {
    "semicolons.csv": write_semicolons,
    "per_cent.csv": write_per_cent,
    "bom.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + scores().write_csv().encode()),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(scores().write_csv().encode())),
    "records.json": lambda path: path.write_text(json.dumps(scores().to_dicts())),
    "columns.json": lambda path: path.write_text(json.dumps(scores().to_dict(as_series=False))),
    "empty.csv": lambda path: path.write_text(scores().write_csv() + "70M,9,,20\n"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_give_the_same_rows(name, tmp_path):
    FORMATS[name](tmp_path / name)
    assert_frame_equal(read_results(tmp_path / name, NAMES, study="mine"), expected())


def test_a_file_for_each_seed(tmp_path):
    for (seed,), part in scores().group_by("run"):
        part.drop("run").write_csv(tmp_path / f"runs-seed{seed}.csv")
    columns = {"scale": "size", "value": "acc", "trials": "n"}
    read = read_results(tmp_path, columns, seed_from_name=r"seed(\d+)", study="mine")
    keys = ["size", "init_seed"]
    assert_frame_equal(read.sort(keys), expected().sort(keys))
    with pytest.raises(ValueError, match="its name has no seed: 'run"):
        read_results(tmp_path, columns, seed_from_name="run(?=9)|run$")


def test_a_column_for_each_seed_and_other_frames():
    wide = (
        scores()
        .pivot("run", index=["size", "n"], values="acc")
        .rename({str(s): f"seed_{s}" for s in range(4)})
    )
    columns = {"scale": "size", "trials": "n"}
    read = read_results(wide, columns, wide="seed_*", study="mine")
    keys = ["size", "init_seed"]
    mine = expected().with_columns(metric=pl.lit("value"))
    assert_frame_equal(read.sort(keys), mine.sort(keys))
    assert_frame_equal(read_results(scores().to_dict(as_series=False), NAMES, study="mine"), expected())


def test_tables_of_trackers(tmp_path):
    wandb = {
        "Step": [1, 2],
        "m-seed1 - acc": [0.1, 0.2],
        "m-seed1 - acc__MIN": [0.0, 0.1],
        "m-seed2 - acc": [0.3, None],
    }
    read = read_results(pl.DataFrame(wandb)).sort("init_seed", "step")
    assert read.select("cell", "init_seed", "step", "value").rows() == [
        ("m", 1, 1, 0.1),
        ("m", 1, 2, 0.2),
        ("m", 2, 1, 0.3),
    ]
    board = pl.DataFrame({"Wall time": [1e9, 2e9], "Step": [5, 10], "Value": [0.5, 0.75]})
    assert read_results(board).select("step", "value").rows() == [(5, 0.5), (10, 0.75)]
    history = [
        {"epoch": 1.0, "step": 5, "loss": 2.0, "learning_rate": 0.1},
        {"epoch": 1.0, "step": 5, "eval_loss": 2.5},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history, "global_step": 5}))
    read = read_results(tmp_path / "trainer_state.json")
    assert read.select("step", "metric", "value").rows() == [(5, "loss", 2.0), (5, "eval_loss", 2.5)]


HUMAN_EVAL = [("HumanEval/0", [1, 0, 0, 1]), ("HumanEval/1", [0, 0, 0, 0]), ("HumanEval/2", [1, 1, 1, 1])]


def test_samples_of_human_eval_are_counted_and_estimated(tmp_path):
    lines = [
        json.dumps({"task_id": task, "completion": "pass", "result": "passed", "passed": bool(passed)})
        for task, answers in HUMAN_EVAL
        for passed in answers
    ]
    (tmp_path / "samples_results.jsonl").write_text("\n".join(lines))
    read = read_results(tmp_path / "samples_results.jsonl")
    assert read.select("metric", "value").rows() == [("pass@1", pytest.approx(0.5))]


def test_counts_of_problems_give_pass_at_k_for_every_run(tmp_path):
    rows = [
        {"task_id": problem, "seed": seed, "n": 20, "c": c}
        for seed, passes in enumerate([[0, 1, 20], [2, 0, 10]])
        for problem, c in enumerate(passes)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "counts.csv")
    read = read_results(tmp_path / "counts.csv")
    expected = [pass_at_k([20] * 3, c, k).mean.value for c in ([0, 1, 20], [2, 0, 10]) for k in (1, 10)]
    assert read.sort("init_seed")["value"].to_list() == pytest.approx(expected)
    assert read["metric"].unique(maintain_order=True).to_list() == ["pass@1", "pass@10"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c": 21}, "21 passes of 20 samples"),
        ({"c": -1}, "c: -1 in row 1 must be a whole number of at least 0"),
        ({"n": 0, "c": 0}, "n: 0 in row 1 must be a whole number of at least 1"),
    ],
)
def test_refuses_counts_that_are_none(change, message):
    row = {"task_id": "a", "n": 20, "c": 3} | change
    with pytest.raises(ValueError, match=message):
        read_results(pl.DataFrame([row]))


@pytest.mark.parametrize("name", ["run-lr{lr}_seed{seed}.csv", "lr{lr}-seed{seed}/trainer.csv"])
def test_what_else_the_names_of_files_say_is_not_pooled(name, tmp_path):
    for lr, seed in itertools.product(("0.1", "0.01"), range(3)):
        path = tmp_path / name.format(lr=lr, seed=seed)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"step,value\n10,0.5\n20,{float(lr) + seed / 10}\n")
    found = reading(tmp_path, seed_from_name=r"seed(\d+)").rows.filter(pl.col("step") == 20)
    means = found.group_by("file").agg(pl.col("value").mean().round(9), pl.len(), pl.col("cell").n_unique())
    stem = "run-lr" if name.startswith("run") else "lr"
    assert sorted(means.rows()) == [(f"{stem}0.01", 0.11, 3, 1), (f"{stem}0.1", 0.2, 3, 1)]
    notes = reading(tmp_path).notes
    assert any(r"--seed-from-name 'seed(\d+)' reads seeds from their names" in note for note in notes)


def test_names_of_files_that_repeat_a_column_are_no_setting(tmp_path):
    for size, seed in itertools.product((1, 10), range(3)):
        (tmp_path / f"s{size}_seed{seed}.csv").write_text(f"size,acc\n{size},0.{seed}\n")
    found = read_results(tmp_path, {"value": "acc", "scale": "size"}, seed_from_name=r"seed(\d+)")
    assert "file" not in found.columns
    assert found["cell"].n_unique() == 2


def test_names_of_models_and_revisions_are_read_as_those_of_the_harness():
    rows = [
        (f"EleutherAI/pythia-{size}-seed{seed}", f"step{step}", value + seed / 100)
        for size, value in (("70m", 0.4), ("14m", 0.2))
        for seed, step in itertools.product((1, 2, 3), (1000, 143000))
    ]
    table = pl.DataFrame(rows, schema=["model", "revision", "acc"], orient="row")
    found = reading(table, {"value": "acc"})
    assert found.notes == ("seeds are taken from the names in model", "steps are taken from revision")
    counts = found.rows.group_by("cell", "parameters").agg(pl.col("init_seed", "step").unique().sort())
    assert sorted(counts.rows()) == [
        ("EleutherAI/pythia-14m, parameters 14000000", 14_000_000, [1, 2, 3], [1000, 143000]),
        ("EleutherAI/pythia-70m, parameters 70000000", 70_000_000, [1, 2, 3], [1000, 143000]),
    ]
    as_settings = reading(table, {"value": "acc"}, by=["revision"]).rows
    assert as_settings["cell"].n_unique() == 4
    assert as_settings["step"].unique().to_list() == [0]
    kept = reading(table.with_columns(seed=0, step=5), {"value": "acc"}).rows
    assert kept["cell"].n_unique() == 12


def test_fields_of_records_are_columns(tmp_path):
    rows = [
        {"config": {"lr": lr, "model": {"width": 8}}, "seed": seed, "metrics": {"acc": lr + seed / 10}}
        for lr, seed in itertools.product((0.1, 0.3), range(3))
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=r"they differ in config.lr: name it as the seed"):
        read_results(tmp_path / "r.jsonl", {"value": "metrics.acc"})
    found = read_results(rows, {"value": "metrics.acc", "scale": "config.lr", "width": "config.model.width"})
    means = found.group_by("config.lr").agg(pl.col("value").mean().round(9), pl.len())
    assert sorted(means.rows()) == [(0.1, 0.2, 3), (0.3, 0.4, 3)]


def test_numbers_that_several_runs_of_every_cell_share_are_not_pooled():
    rows = [
        (size, lr, seed, 0.3 + 0.4 * (lr > 0.1))
        for seed, (size, lr, _) in enumerate(itertools.product((1, 2, 4), (0.1, 0.2), range(3)))
    ]
    table = pl.DataFrame(rows, schema=["size", "lr", "run", "acc"], orient="row")
    named = {"value": "acc", "scale": "size"}
    for given, source in (({"seed": "run"}, table), ({}, table.drop("run"))):
        with pytest.raises(ValueError, match=r"lr has the same values in every cell, each in several rows"):
            read_results(source, named | given)
        assert read_results(source, named | given, by=["lr"])["cell"].n_unique() == 6
        assert read_results(source, named | given, ignore=["lr"])["cell"].n_unique() == 3
    own = table.with_columns(lr=pl.int_range(pl.len()))  # a number for each run, such as its run time
    assert "rows differ in columns that are not used: lr" in reading(own, named | {"seed": "run"}).notes[0]


def test_the_mean_of_the_seeds_is_none_of_them():
    wide = pl.DataFrame(
        {"size": [1, 2], "seed_0": [0.1, 0.3], "seed_1": [0.2, 0.4], "seed_mean": [0.15, 0.35]}
    )
    with pytest.raises(ValueError, match="seed_mean has no number as other columns like"):
        read_results(wide, {"scale": "size"}, wide="seed_*")
    found = read_results(wide, {"scale": "size"}, wide="seed_*", ignore=["seed_mean"])
    assert found["value"].to_list() == [0.1, 0.3, 0.2, 0.4]


def test_hints_name_the_option_that_is_meant():
    runs = [
        (lr, f"run-seed{s}", epoch, 0.5) for lr, s, epoch in itertools.product((1, 2), range(2), range(3))
    ]
    table = pl.DataFrame(runs, schema=["lr", "Name", "epoch", "acc"], orient="row")
    last = table.filter(pl.col("epoch") == 2).drop("epoch")
    assert (
        "; --seed Name reads seeds from their names;"
        in reading(last, {"value": "acc", "scale": "lr"}).notes[0]
    )
    with pytest.raises(
        ValueError, match=r"differ in epoch: name it as the seed .*, as the step \(--step epoch\)"
    ):
        read_results(table, {"value": "acc", "scale": "lr", "seed": "Name"})


def test_rows_without_a_size_are_not_called_all_runs():
    table = pl.DataFrame({"size": [1, None, 2], "seed": [0, 1, 0], "acc": [0.4, 0.5, 0.6]})
    found = read_results(table, {"value": "acc", "scale": "size"})
    assert found["cell"].to_list() == ["size 1", "no size", "size 2"]


def test_spaces_around_names_of_columns_mean_nothing(tmp_path):
    (tmp_path / "r.csv").write_text("size, seed, acc\n1, 0, 0.5\n1, 1, 0.25\n")
    found = read_results(tmp_path / "r.csv", {"value": "acc", "scale": "size"})
    assert found.select("init_seed", "value").rows() == [(0, 0.5), (1, 0.25)]


def test_sizes_need_no_option_and_failed_values_are_told():
    table = pl.DataFrame(
        {"params": [1e6, 1e6, 1e7, 1e7], "seed": [0, 1, 0, 1], "acc": [0.1, 0.2, float("nan"), 0.4]}
    ).with_columns(loss=pl.lit(2.0))
    found = reading(table, {"value": ["acc", "loss"]})
    assert found.rows["parameters"].unique().sort().to_list() == [1_000_000, 10_000_000]
    assert found.notes == ("1 of 4 values of acc are nan or infinite: failed runs, which score 0",)
