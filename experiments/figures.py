"""Draw the README's figures and work out the studies' findings again, from the results stored with them.

    python experiments/figures.py                   every figure and every finding
    python experiments/figures.py NAME ...          those of some studies
    python experiments/figures.py --keep DIR ...    of the run in DIR, whose rows are kept from now on

For each measured study experiments/measured holds the rows of results behind its findings (NAME.parquet)
and the findings themselves with the circumstances of the run (NAME.json); experiments/figures holds the
pictures. What several studies say together, and laws fitted to them, have findings and a picture only.
A cell that two studies share is trained once: further folders after DIR supply the cells that DIR lacks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert

from jaxemerge import Experiment
from jaxemerge.cli.parser import Parser
from jaxemerge.files import appearing, make_folder, write_bytes, write_json
from jaxemerge.runner.opening import open_store
from jaxemerge.runner.store import Store
from studies import COMBINED, STUDIES
from studies.finding import Finding

MEASURED = {name: study for name, study in STUDIES.items() if hasattr(study, "findings")}
HERE = Path(__file__).parent
MEASURED_FOLDER, FIGURES_FOLDER = HERE / "measured", HERE / "figures"
LARGEST, LARGEST_WHOLE = 200_000, 900_000  # bytes of kept results: of a quick run, of a whole one
SCALE = 2  # pixels of a picture per pixel of the chart


def main(arguments: Sequence[str]) -> int:
    """Draws and works out everything, and returns the exit code."""
    top = Parser("python experiments/figures.py [options]", __doc__)
    top.add_argument("names", nargs="*", metavar="NAME", help="measured studies (default: all)")
    top.add_argument("--keep", type=Path, nargs="+", metavar="DIR", help="folders of a study's measured run")
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
        names = chosen(options.names) if options.keep is None else [keep(options.keep, measured)]
        source = measured if options.keep else MEASURED_FOLDER
        for name in names:
            for line in write(name, source, measured, figures):
                print(line)
    except (ValueError, OSError) as error:
        top.error(str(error))
    return 0


def chosen(names: Sequence[str]) -> list[str]:
    """The studies of these names, or all.

    Raises:
        ValueError: one of them is no measured study.
    """
    known = [*MEASURED, *COMBINED]
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} must be one of {', '.join(known)}")
    return list(names) or known


def write(name: str, source: Path, measured: Path, figures: Path) -> list[str]:
    """Writes findings and pictures of one study from kept results; returns the findings' lines."""
    study, alone = (MEASURED[name], [name]) if name in MEASURED else (COMBINED[name], [])
    rows = [pl.read_parquet(source / f"{of}.parquet", glob=False) for of in alone or study.SOURCES]
    found, charts = worked_out(study, rows)
    run = {"run": read_json(source / f"{name}.json")["run"]} if alone else {}
    write_json(measured / f"{name}.json", {**run, "findings": [each.to_dict() for each in found]})
    for part, chart in charts.items():
        picture = vl_convert.vegalite_to_png(chart.to_dict(), scale=SCALE)
        write_bytes(figures / f"{name}{part}.png", picture)
    about = run_line(run["run"]) if alone else f"of {', '.join(study.SOURCES)}"
    return [f"{name}: {about}", *(f"    {each.line}" for each in found)]


def worked_out(study: Any, rows: Sequence[pl.DataFrame]) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and charts; a chart's key follows the study's name in that of its picture."""
    if hasattr(study, "SOURCES"):
        found, chart = study.findings_and_figure(*rows)
        return found, {"": chart}
    more = study.more_figures(*rows) if hasattr(study, "more_figures") else {}
    return study.findings(*rows), {"": study.figure(*rows)} | {f"_{key}": each for key, each in more.items()}


def keep(folders: Sequence[Path], measured: Path) -> str:
    """Keeps the rows of a run that its study's findings rest on; returns the study's name.

    Args:
        folders: the study's, and others with cells that it lacks.
        measured: where rows are kept.

    Raises:
        ValueError: the folders hold no complete run of a measured study, or its rows take too much room.
    """
    stores = [open_store(folder) for folder in folders]
    name = stores[0].study
    if name not in MEASURED:
        raise ValueError(f"{folders[0]} holds {name}: must be one of {', '.join(MEASURED)}")
    suppliers = {cell.cell: supplier(cell, name, stores) for cell in measured_cells(name)}
    of_store = [(s, [cell for cell, its in suppliers.items() if its is s]) for s in stores]
    rows = pl.concat(results(name, store, cells) for store, cells in of_store if cells)
    path, largest = measured / f"{name}.parquet", LARGEST_WHOLE if whole(name) else LARGEST
    with appearing(path) as partial:
        MEASURED[name].kept(rows).write_parquet(partial, compression="zstd", compression_level=19)
        if partial.stat().st_size > largest:
            raise ValueError(f"{folders[0]}: the rows to keep take more than {largest:,} bytes")
    trained = [r for store, cells in of_store for r in store.records() if r["cell"] in cells]
    write_json(path.with_suffix(".json"), {"run": circumstances(trained)})
    return name


def supplier(cell: Experiment, name: str, stores: Sequence[Store]) -> Store:
    """The first folder that has all seeds of a cell and no others.

    Raises:
        ValueError: none has.
    """
    for store in stores:
        if store.finished(cell.cell) == set(cell.seeds):
            return store
    kind, how = ("run", "without") if whole(name) else ("quick run", "with")
    where = stores[0].folder
    raise ValueError(f"{where}: {cell.cell} is no whole {kind}; train it {how} --quick first")


def whole(name: str) -> bool:
    """Whether what is kept of a study is its full run, not its quick one."""
    return getattr(MEASURED[name], "WHOLE", False)


def measured_cells(name: str) -> Sequence[Experiment]:
    """The cells whose results are kept."""
    return MEASURED[name].cells(quick=not whole(name))


def results(name: str, store: Store, cells: Sequence[str]) -> pl.DataFrame:
    """Rows of some cells that a study's kept ones are taken from, under the study's name.

    They are the results, or the counts of sampling.
    """
    found = store.passes() if getattr(MEASURED[name], "SAMPLES", False) else store.results()
    assert found is not None
    own = found.filter(pl.col("cell").is_in(cells))
    if store.study == name:
        return own
    return own.with_columns(study=pl.lit(name), family=pl.lit(MEASURED[name].NAME))


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
