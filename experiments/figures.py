"""Draw the README's figures and work out the studies' findings again, from the results stored with them.

    python experiments/figures.py                   every figure and every finding
    python experiments/figures.py --keep DIR        of the quick run in DIR, which is kept from now on

For each measured study experiments/measured holds the rows of results behind its findings (NAME.parquet)
and the findings themselves with the circumstances of the run (NAME.json); experiments/figures holds the
pictures. distribution_law.json and its picture are the law of the distribution fitted to one of the studies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert

from jaxemerge import charts
from jaxemerge.analysis import distribution_law
from jaxemerge.cli.parser import Parser
from jaxemerge.files import appearing, make_folder, write_bytes, write_json
from jaxemerge.report.distribution_law import per_doubling
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.store import Store
from studies import STUDIES
from studies.finding import finding

MEASURED = {name: study for name, study in STUDIES.items() if hasattr(study, "findings")}
HERE = Path(__file__).parent
MEASURED_FOLDER, FIGURES_FOLDER = HERE / "measured", HERE / "figures"
LAW_OF = "depth_or_width"  # the study whose rows the law of the distribution is fitted to
THRESHOLD = 0.2  # what counts as success in that study
LARGEST = 200_000  # bytes of a file of kept results
SCALE = 2  # pixels of a picture per pixel of the chart


def main(arguments: Sequence[str]) -> int:
    """Draws and works out everything, and returns the exit code."""
    top = Parser("python experiments/figures.py [options]", __doc__)
    top.add_argument("--keep", type=Path, metavar="DIR", help="results folder of a study's quick run")
    top.add_argument("--out", type=Path, metavar="DIR", help="write there instead: DIR/measured, DIR/figures")
    options = top.parse_args(arguments)
    measured, figures = (
        (MEASURED_FOLDER, FIGURES_FOLDER)
        if options.out is None
        else (options.out / "measured", options.out / "figures")
    )
    try:
        for folder in (measured, figures):
            make_folder(folder)
        names = MEASURED if options.keep is None else [keep(options.keep, measured)]
        source = measured if options.keep else MEASURED_FOLDER
        for name in names:
            for line in write(name, source, measured, figures):
                print(line)
        if LAW_OF in names:
            for line in write_law(source, measured, figures):
                print(line)
    except (ValueError, OSError) as error:
        top.error(str(error))
    return 0


def write(name: str, source: Path, measured: Path, figures: Path) -> list[str]:
    """Writes the findings and the picture of one study from its kept results; returns the findings' lines."""
    study, rows = MEASURED[name], pl.read_parquet(source / f"{name}.parquet", glob=False)
    found = study.findings(rows)
    run = read_json(source / f"{name}.json")["run"]
    write_json(measured / f"{name}.json", {"run": run, "findings": [each.to_dict() for each in found]})
    picture = vl_convert.vegalite_to_png(study.figure(rows).to_dict(), scale=SCALE)
    write_bytes(figures / f"{name}.png", picture)
    return [f"{name}: {run_line(run)}", *(f"    {each.line}" for each in found)]


def write_law(source: Path, measured: Path, figures: Path) -> list[str]:
    """Writes the slopes of the distribution law of one study, and how it predicts the largest cell."""
    rows = pl.read_parquet(source / f"{LAW_OF}.parquet", glob=False)
    fit = distribution_law(rows, "exact_match", THRESHOLD, bootstraps=100)
    assert fit is not None
    found = [
        finding(f"doubling {name}, logit of {what}", per_doubling(slopes, place))
        for place, name in enumerate(fit.law.names)
        for what, slopes in (("P(success)", fit.law.weight_slopes), ("the mean", fit.law.mean_slopes))
    ]
    write_json(measured / "distribution_law.json", {"findings": [each.to_dict() for each in found]})
    picture = vl_convert.vegalite_to_png(charts.predicted_histograms(fit).to_dict(), scale=SCALE)
    write_bytes(figures / "distribution_law.png", picture)
    return [f"distribution law of {LAW_OF}", *(f"    {each.line}" for each in found)]


def keep(folder: Path, measured: Path) -> str:
    """Keeps the rows of a run that its study's findings rest on; returns the study's name.

    Raises:
        ValueError: the folder holds no whole quick run of a measured study, or its rows take too much room.
    """
    store = open_store(folder)
    if store.study not in MEASURED:
        raise ValueError(f"{folder} holds {store.study}: must be one of {', '.join(MEASURED)}")
    study = MEASURED[store.study]
    for cell in study.cells(quick=True):
        if not store.finished(cell.cell) == set(cell.seeds):
            raise ValueError(f"{folder}: {cell.cell} is no whole quick run; train it with --quick first")
    path = measured / f"{store.study}.parquet"
    with appearing(path) as partial:
        kept(store.study, store).write_parquet(partial, compression="zstd", compression_level=19)
        if partial.stat().st_size > LARGEST:
            raise ValueError(f"{folder}: the rows to keep take more than {LARGEST:,} bytes")
    write_json(path.with_suffix(".json"), {"run": circumstances(store.records())})
    return store.study


def kept(name: str, store: Store) -> pl.DataFrame:
    """The rows that a study's findings rest on, of its results or of its counts of sampling."""
    study = MEASURED[name]
    return study.kept(store.passes() if getattr(study, "SAMPLES", False) else store.results())


def circumstances(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """When and where a run's chunks were trained, and for how long in all."""
    one = records[0]["provenance"]
    return {
        "seconds": round(sum(record["seconds"] for record in records)),
        "date": max(record["provenance"]["time"] for record in records)[:10],
        "processor": one["processor"],
        "device": f"{one['devices']} x {one['device']}",
        "python": one["python"],
        "packages": one["packages"],
    }


def run_line(run: Mapping[str, Any]) -> str:
    """The circumstances in one line, as a study's header has them."""
    return f"{run['seconds']} s of training, {run['date']}, {run['processor']}, jax {run['packages']['jax']}"


def read_json(path: Path) -> dict[str, Any]:
    """Findings, as they were written."""
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
