"""Where are the trained models? Writes them for others, as safetensors files with model cards."""

from __future__ import annotations

import argparse

import polars as pl
from rich.console import Console

from jaxemerge.cli.cells import parse_seeds, selected_names
from jaxemerge.cli.studies import Front
from jaxemerge.cli.terminal import say
from jaxemerge.exports import write_members
from jaxemerge.runner.opening import open_store


def run(options: argparse.Namespace, front: Front, console: Console) -> int:
    """Writes the members of cells whose weights were kept, each cell into a folder of its own.

    Raises:
        ValueError: no folder is named, or no weights were kept.
    """
    store = open_store(options.folder)
    if options.out is None:
        raise ValueError("export: name a folder to write to, with --out")
    names = selected_names(list(store.cells), options.cells)
    asked = set(parse_seeds(options.seeds)) if options.seeds is not None else None
    results, written, threshold = store.results(), 0, front.success(options.threshold, store)
    for name in names:
        kept = [seed for seed in store.saved_weights(name) if asked is None or seed in asked]
        if not kept:
            continue
        mine = pl.struct("init_seed", "data_seed").is_in(
            [{"init_seed": init, "data_seed": data} for init, data in kept]
        )
        rows = results.filter(pl.col("cell") == name).filter(mine)
        members = ((seed, arrays) for seed, arrays in store.weights(name) if seed in set(kept))
        circumstances = [record["provenance"] for record in store.records() if record["cell"] == name]
        fields = {**store.cells[name], "study": store.study}
        write_members(options.out / name, fields, members, rows, circumstances, threshold=threshold)
        say(console, f"{options.out / name}: {len(kept)} members")
        written += len(kept)
    if not written:
        which = "these seeds" if asked else "any seeds"
        raise ValueError(f"{store.folder} holds no weights of {which}: train them with --keep-weights")
    return 0
