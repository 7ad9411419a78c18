"""Which fields decide the id of a cell? Later fields only where they differ from their defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from jaxemerge import tasks as library
from jaxemerge.evaluation import PassUntil
from jaxemerge.models import Transformer
from jaxemerge.training import optimizer
from jaxemerge.training.optimizer import AdamW
from jaxemerge.training.own_optimizer import Optax

# Fields of the library's classes that are part of every cell's id. Fields that are not listed were added
# later: they are part of the id only where they differ from their defaults, so that a new field changes no id
# of earlier results. The ids of a user's own classes hold the digest of their code.
OF_EXPERIMENT = "task model optimizer steps batch context seeds evaluations study family"
IN_EVERY_ID: dict[type, str] = {
    Transformer: "depth width heads residual norm rotary_fraction mlp mlp_ratio tied bias norm_epsilon "
    "rotary_base init_std dtype",
    AdamW: "learning_rate warmup final beta1 beta2 epsilon weight_decay clip",
    **{
        kind: f"learning_rate warmup final weight_decay clip horizon schedule decayed {own}"
        for kind, own in (
            (optimizer.Adam, "beta1 beta2 epsilon"),
            (optimizer.SGD, "momentum nesterov"),
            (optimizer.Lion, "beta1 beta2"),
            (optimizer.Muon, "momentum newton_schulz beta1 beta2 epsilon"),
        )
    },
    Optax: "make",
    PassUntil: "split length items r cap temperature source",
    library.Addition: "hints carries train_digits test_digits items",
    library.Composition: "values functions steps shown test_steps items source",
    library.Corpus: "context level held_out windows limit",
    library.Count: "numbers train_length test_lengths",
    library.InContext: "rule shots test_shots longest years items",
    library.Markov: "words signal length texts source",
    library.Modular: "modulus operation train_share source",
    library.Parity: "train_length test_lengths items",
    library.Recall: "keys values pairs queries test_pairs items",
    library.Rewrite: "operation symbols train_length test_lengths items",
    library.SparseParity: "length relevant items source",
    library.TaskMixture: "tasks weights shared marked",
}


def identity(saved: dict[str, Any], experiment: Any) -> dict[str, Any]:
    """The fields that decide the id of a cell; labels are for the caller to leave out.

    Args:
        saved: the experiment, made plain by ``to_dict``.
        experiment: the experiment.
    """
    fields = _decisive(saved, experiment, OF_EXPERIMENT.split())
    if "files" in fields:
        fields["files"] = list(fields["files"].values())  # what is in them counts, not where they are
    return fields


def _of_value(saved: Any, value: Any) -> Any:
    if isinstance(value, tuple) and not isinstance(saved, str):
        return [_of_value(*each) for each in zip(saved, value, strict=True)]
    if not dataclasses.is_dataclass(value) or not isinstance(saved, dict):
        return saved
    kind = type(value)
    return _decisive(saved, value, IN_EVERY_ID[kind].split() if kind in IN_EVERY_ID else saved)


def _decisive(saved: dict[str, Any], value: Any, always: Container[str]) -> dict[str, Any]:
    """Fields of a record without those that were added later and have their defaults."""
    left_out = {
        each.name
        for each in dataclasses.fields(value)
        if each.name not in always and getattr(value, each.name) == _default(each)
    }
    left_out |= {"path"} if type(value) is library.Corpus else set()  # the digests of its files are there
    return {
        name: _of_value(inner, getattr(value, name, None))
        for name, inner in saved.items()
        if name not in left_out
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
