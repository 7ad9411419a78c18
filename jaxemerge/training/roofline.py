"""What is the least time of a training step on a chip, and how many seeds fit? By the compiled program.

A step takes at least as long as its bytes take to and from memory, and at least as long as its matrix
products take at the chip's peak, those that the backward pass repeats included (Williams et al. 2009,
"Roofline"). How close a program comes to that is for a measurement on the chip to say.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from jaxemerge.code import code_of, version_of
from jaxemerge.devices import Layout, compiling_for
from jaxemerge.files import write_json
from jaxemerge.models import Transformer
from jaxemerge.models.implementation import allowed_kernels
from jaxemerge.tasks import Task
from jaxemerge.training.chips import Chip, chip_named
from jaxemerge.training.compiled import compiled_training, described
from jaxemerge.training.hlo import parse
from jaxemerge.training.plan import cell_bytes, is_out_of_memory
from jaxemerge.training.recipe import cost_of, fixed_part
from jaxemerge.training.traffic import collectives, step_kernels, total

if TYPE_CHECKING:
    from jaxemerge.training.recipe import Recipe

SEEDS = 8  # per device, that programs are compiled for: traffic and memory of a seed hardly depend on it
# Of a chip's memory JAX takes 75 % unless it is told otherwise (XLA_PYTHON_CLIENT_MEM_FRACTION). A tenth of
# that stays free, for scoring and for what does not fit between other blocks.
MEMORY_SHARE = 0.75 * 0.9
# What turns a cell into a program: the packages that trace it, and those that compile it.
_PACKAGES = ("jax", "flax", "optax", "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin", "libtpu")
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")


@dataclass(frozen=True)
class Prediction:
    """What a cell's compiled training program takes, per device and seed.

    Attributes:
        target: name of the chip.
        dtype: precision of the computation.
        seeds: seeds per device that it was compiled for.
        width: of these, how many side by side.
        kernels: pieces of work per step, loops within it counted for every turn.
        bytes: moved per seed and step.
        flops: of matrix products, per seed and step, as the formula for training counts them.
        recomputed: FLOPs of products that the backward pass repeats instead of keeping their results.
        state: bytes of a seed that stay between steps.
        temporary: bytes of a seed that a step needs beside them.
        collectives: instructions by which devices exchange data.
        seconds: what compiling took.
    """

    target: str
    dtype: str
    seeds: int
    width: int
    kernels: int
    bytes: float
    flops: float
    recomputed: float
    state: float
    temporary: float
    collectives: int
    seconds: float

    @property
    def traffic_seconds(self) -> float:
        """Least time of a step of one seed by what it moves."""
        return self.bytes / self._chip.reached

    @property
    def arithmetic_seconds(self) -> float:
        """Least time of a step of one seed by its matrix products."""
        return (self.flops + self.recomputed) / self._chip.peak(self.dtype)

    @property
    def least_seconds(self) -> float:
        """Least time of a step of one seed."""
        return max(self.traffic_seconds, self.arithmetic_seconds)

    def side_by_side(self, memory: float = 0) -> int:
        """Seeds that fit into a chip's memory if all are trained side by side.

        Args:
            memory: bytes that may be used; 0 takes a share of what the chip has.
        """
        return int(self._usable(memory) / (self.state + self.temporary))

    def in_turn(self, memory: float = 0) -> int:
        """Seeds that fit if they are trained one after the other: only one needs a step's memory."""
        return max(0, int((self._usable(memory) - self.temporary) / self.state))

    def _usable(self, memory: float) -> float:
        return memory or MEMORY_SHARE * self._chip.memory

    @property
    def _chip(self) -> Chip:
        return chip_named(self.target)


def predicted(
    recipe: Recipe, chip: Chip, seeds: int = SEEDS, *, width: int = 0, cache: Path | None = None
) -> Prediction:
    """Compiles a cell's training program for a chip and reads what it takes.

    TPU compilers reject a program that needs more memory than the chip has. It is then compiled for half the
    seeds, and so on; where even one does not fit, the answer is that of ``by_formula``.

    Args:
        recipe: the cell.
        chip: as from ``chip_named``; it need not be here.
        seeds: seeds per device, at most.
        width: of these, how many side by side; 0 for all.
        cache: folder of earlier answers; None keeps none.

    Raises:
        CompilerMissingError: the compiler for the chip is not installed.
    """
    found = kept_prediction(recipe, chip, seeds, width=width, cache=cache)
    if found is None:
        found, _ = compiled_prediction(recipe, chip, seeds, width=width)
        if cache:
            key = _key(recipe, chip, seeds, width or seeds)
            cache.mkdir(parents=True, exist_ok=True)
            write_json(_file(cache, key), {"key": key, "prediction": asdict(found)})
    return found


def kept_prediction(
    recipe: Recipe, chip: Chip, seeds: int = SEEDS, *, width: int = 0, cache: Path | None
) -> Prediction | None:
    """An earlier answer of ``predicted``; None where there is none, or its file is damaged."""
    if cache is None:
        return None
    key = _key(recipe, chip, seeds, width or seeds)
    try:
        answer = json.loads(_file(cache, key).read_text(encoding="utf-8"))
        return Prediction(**answer["prediction"]) if answer["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def compiled_prediction(recipe: Recipe, chip: Chip, seeds: int, *, width: int = 0) -> tuple[Prediction, str]:
    """The same, compiled anew, and the text of the program."""
    try:
        return _as_compiled(recipe, chip, seeds, width or seeds)
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if seeds == 1:
            return by_formula(recipe, chip), ""  # which is too large for the chip, too
    return compiled_prediction(recipe, chip, -(-seeds // 2))


def _as_compiled(recipe: Recipe, chip: Chip, seeds: int, width: int) -> tuple[Prediction, str]:
    layout = Layout(described(chip), width)
    done = compiled_training(recipe, layout, seeds * len(layout.devices))
    module = parse(done.text)
    steps = step_kernels(module)
    prediction = Prediction(
        target=chip.name,
        dtype=dtype_of(recipe),
        seeds=seeds,
        width=layout.width,
        kernels=sum(kernel.times for kernel in steps),
        bytes=total(steps) / layout.width,
        flops=cost_of(recipe).flops,
        recomputed=recomputed_flops(recipe, chip),
        state=done.state / seeds,
        temporary=done.temporary / layout.width,
        collectives=len(collectives(module)),
        seconds=done.seconds,
    )
    return prediction, done.text


def by_formula(recipe: Recipe, chip: Chip) -> Prediction:
    """What is known without compiling: memory by formula and products; no kernels and no bytes."""
    with compiling_for(chip.platform):
        state, temporary = cell_bytes(recipe)
    flops, again = cost_of(recipe).flops, recomputed_flops(recipe, chip)
    return Prediction(chip.name, dtype_of(recipe), 1, 1, 0, 0.0, flops, again, state, temporary, 0, 0.0)


def recomputed_flops(recipe: Recipe, chip: Chip) -> float:
    """FLOPs per seed and step of products that the backward pass repeats on a chip."""
    if not isinstance(recipe.model, Transformer) or not isinstance(recipe.task, Task):
        return 0.0
    with compiling_for(chip.platform):
        per_token = recipe.model.recomputed_flops_per_token(recipe.task.vocabulary)
    return per_token * recipe.batch * recipe.context


def _code_of_model(recipe: Recipe, chip: Chip) -> Mapping[str, str]:
    """What computes the parts of the model on a chip."""
    if not isinstance(recipe.model, Transformer):
        return {}
    with compiling_for(chip.platform):
        return recipe.model.implementation()


def dtype_of(recipe: Recipe) -> str:
    """Precision that a cell computes in."""
    return getattr(recipe.model, "dtype", "float32")


def _key(recipe: Recipe, chip: Chip, seeds: int, width: int) -> dict[str, Any]:
    """All that an answer depends on, as plain JSON values."""
    return {
        "cell": repr(fixed_part(recipe)),
        "code": code_of((recipe.task, recipe.model)),
        "library": _library(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "flags": {name: os.environ.get(name, "") for name in _FLAGS},
        "chip": asdict(chip),
        "kernels": sorted(allowed_kernels()),
        "implementation": _code_of_model(recipe, chip),
        "precision": getattr(jax.config, "jax_default_matmul_precision"),  # noqa: B009 - as in devices
        "seeds": seeds,
        "width": width,
    }


@functools.cache
def _library() -> str:
    """Digest of the files that training programs are made from."""
    root = Path(__file__).parents[1]
    seen = hashlib.sha256()
    for path in (
        sorted(root.glob("*.py")) + sorted(root.glob("t*/**/*.py")) + sorted(root.glob("models/**/*.py"))
    ):
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def _file(cache: Path, key: Mapping[str, Any]) -> Path:
    return cache / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"
