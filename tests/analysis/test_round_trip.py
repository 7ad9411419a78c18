"""The library's own results, written in the formats that others use and read back, give the same numbers."""

import gzip
import io
import json

import polars as pl
import pytest

from jaxemerge.analysis import final_scores, learning_curves, read_results, summarise
from synthetic import population_frame

STEPS = (0, 7, 11)
OWN = population_frame([(1, 64), (2, 64)], 7, (30, 40), STEPS, diverged=0).filter(metric="exact_match")
NAMES = ("depth", "width", "init_seed", "step", "split", "length", "value", "trials")
TABLE = OWN.select(NAMES)
COLUMNS = [
    "seeds",
    "trials",
    "mean",
    "mean_low",
    "success",
    "success_low",
    "success_high",
    "mode",
    "success_mean",
]


def csv(frame, **options):
    return frame.write_csv(**options).encode()


def ndjson(frame):
    return frame.write_ndjson().encode()


def parquet(frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


WRITERS = {
    "own.csv": csv,
    "own.tsv": lambda frame: csv(frame, separator="\t"),
    "semicolons.csv": lambda frame: csv(frame, separator=";", decimal_comma=True),
    "bom.csv": lambda frame: csv(frame, include_bom=True),
    "own.csv.gz": lambda frame: gzip.compress(csv(frame)),
    "percent.csv": lambda frame: csv(
        frame.with_columns(pl.format("{}%", (pl.col("value") * 100).round(6)).alias("value"))
    ),
    "own.parquet": parquet,
    "own.jsonl": ndjson,
    "own.ndjson.gz": lambda frame: gzip.compress(ndjson(frame)),
    "records.json": lambda frame: json.dumps(frame.to_dicts()).encode(),
    "columns.json": lambda frame: json.dumps(frame.to_dict(as_series=False)).encode(),
}


def same(read):
    ours, theirs = (summarise(frame, threshold=0.4).select(COLUMNS) for frame in (OWN, read))
    assert theirs.rows() == [tuple(pytest.approx(value, abs=1e-9) for value in row) for row in ours.rows()]


def named(frame):
    return frame.with_columns(metric=pl.lit("exact_match"))


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_rows(name, tmp_path):
    (tmp_path / name).write_bytes(WRITERS[name](named(TABLE)))
    same(read_results(tmp_path / name))


def test_frames():
    same(read_results(named(TABLE)))
    same(read_results(named(TABLE).lazy()))
    same(read_results(named(TABLE).to_dict(as_series=False)))


def test_a_file_per_seed(tmp_path):
    for (seed,), part in named(TABLE).group_by("init_seed"):
        part.drop("init_seed").write_csv(tmp_path / f"run_seed{seed}.csv")
    same(read_results(tmp_path, seed_from_name=r"seed(\d+)"))
    same(read_results(sorted(tmp_path.iterdir()), seed_from_name=r"seed(\d+)"))


def test_a_column_per_seed(tmp_path):
    wide = TABLE.pivot(on="init_seed", values="value").rename(
        lambda name: f"seed_{name}" if name.isdecimal() else name
    )
    named(wide).write_csv(tmp_path / "wide.csv")
    same(read_results(tmp_path / "wide.csv", wide="seed_*"))


# One curve per run, as trackers write them.
CURVES = OWN.filter(depth=2, length=30).sort("init_seed", "step")


def runs():
    for (seed,), part in CURVES.group_by("init_seed", maintain_order=True):
        yield seed, part


def step_values(folder):
    for seed, part in runs():
        values = {str(step): value for step, value in part.select("step", "value").rows()}
        (folder / f"seed{seed}.json").write_text(json.dumps(values))


def tensorboard(folder):
    for seed, part in runs():
        rows = part.select(pl.lit(1.7e9).alias("Wall time"), Step="step", Value="value")
        rows.write_csv(folder / f"seed{seed}.csv")


def trainer_state(folder):
    for seed, part in runs():
        rows = part.select("step", pl.lit(0.5).alias("epoch"), score="value").to_dicts()
        (folder / f"seed{seed}.json").write_text(json.dumps({"log_history": rows}))


def lightning(folder):
    for seed, part in runs():
        losses = part.select("step", epoch=0, train_loss=pl.lit(0.3))
        scores = part.select("step", epoch=0, score="value")
        pl.concat([losses, scores], how="diagonal").write_csv(folder / f"seed{seed}.csv")


def wandb(folder):
    wide = CURVES.pivot(on="init_seed", index="step", values="value").rename({"step": "Step"})
    both = wide.rename(lambda name: name if name == "Step" else f"small-seed{name} - score")
    ranges = [pl.col(name).alias(f"{name}__{end}") for name in both.columns[1:] for end in ("MIN", "MAX")]
    both.with_columns(ranges).write_csv(folder / "export.csv")


@pytest.mark.parametrize("write", [step_values, tensorboard, trainer_state, lightning, wandb])
def test_curves_of_trackers(write, tmp_path):
    write(tmp_path)
    pattern = {} if write is wandb else {"seed_from_name": r"seed(\d+)"}
    read = read_results(tmp_path, **pattern)
    metric = next(name for name in read["metric"].unique() if name in ("value", "score"))
    columns = ("init_seed", "step", "value")
    theirs = learning_curves(read, metric).select(columns)
    assert theirs.rows() == learning_curves(CURVES).select(columns).rows()
    assert final_scores(read, metric)["value"].to_list() == final_scores(CURVES)["value"].to_list()
