"""What is minimised? The loss of a model on a task, or two functions of the user's own."""

from __future__ import annotations

import dataclasses
import functools
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.code import first_problems, is_plain, told
from jaxemerge.models import Model
from jaxemerge.models import tracing as traced
from jaxemerge.models.model_contract import repeated, weight_problems
from jaxemerge.tasks import Task, pack_batch
from jaxemerge.tasks.packing import shift
from jaxemerge.types import Array, Float, Key, Params


class Cost(NamedTuple):
    """What training one seed takes.

    Attributes:
        parameters: non-embedding weights.
        total_parameters: all weights.
        flops: floating-point operations of one step.
        activation_bytes: memory of a step on top of weights and moments.
    """

    parameters: int
    total_parameters: int
    flops: float
    activation_bytes: int


@runtime_checkable
class Objective(Protocol):
    """Whatever else can be trained from many seeds; subclass it as a frozen dataclass of plain fields.

    It takes the place of task and model in an ``Experiment``. Data are drawn within the loss, or are arrays
    that it closes over; where these come from files, an attribute ``files`` names them, as in ``Task``.
    ``check_objective(objective)`` says whether one keeps this contract; ``pair`` makes one of two functions.
    """

    @property
    def name(self) -> str:
        """Short name in results and reports; by default the class name in snake case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def __hash__(self) -> int:
        return object.__hash__(self)  # a frozen dataclass has one of its own

    @abstractmethod
    def init(self, key: Key) -> Params:
        """Initial weights, any tree of float32: a pure function of the key of the member's ``init_seed``."""

    @abstractmethod
    def loss(self, params: Params, key: Key) -> Float[Array, ""]:
        """What a step minimises, one number.

        Args:
            params: weights of one member.
            key: of its ``data_seed`` and the step.
        """

    def score(self, params: Params) -> Mapping[str, Any]:
        """How good a member is, at evaluation steps: a number per metric, or one bool per item of a test.

        Bools become the share of items that are True, with their number behind it: a score that can be a
        success, as ``exact_match``.
        """
        del params
        return {}

    @property
    def label(self) -> str:
        """What cells are called besides their name: depth and width where there are such fields."""
        return "-".join(f"{name}{size}" for name, size in self.sizes.items() if size is not None)

    @property
    def sizes(self) -> dict[str, int | None]:
        """Depth and width, for the results' columns; None where there is no such field."""
        return {name: getattr(self, name, None) for name in ("depth", "width")}

    def cost(self) -> Cost:
        """Weights, operations in matrix products (or else two per weight) and memory, by tracing one step."""
        key = jax.random.key(0)
        shapes = jax.eval_shape(self.init, key)
        size = traced.size(shapes)
        flops = max(traced.products(jax.value_and_grad(self.loss), shapes, key), 2.0 * size)
        kept = traced.step_bytes(lambda params: self.loss(params, key), shapes)
        return Cost(size, size, flops, kept)


@dataclass(frozen=True)
class Pair(Objective):
    """Plain functions: of initial weights, loss and scores; see ``pair``."""

    functions: tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any] | None]
    called: str

    @property
    def name(self) -> str:
        return self.called

    def init(self, key: Key) -> Params:
        return cast("Params", self.functions[0](key))

    def loss(self, params: Params, key: Key) -> Float[Array, ""]:
        return cast("Array", self.functions[1](params, key))

    def score(self, params: Params) -> Mapping[str, Any]:
        scored = self.functions[2]
        return cast("Mapping[str, Any]", scored(params)) if scored else {}


def pair(
    init: Callable[[Key], Params],
    loss: Callable[[Params, Key], Any],
    score: Callable[[Params], Mapping[str, Any]] | None = None,
    *,
    name: str = "objective",
) -> Objective:
    """An objective from plain functions, which see what the methods of ``Objective`` are given.

    Args:
        init: key -> initial weights, any tree of float32.
        loss: (weights, key) -> what a step minimises, one number.
        score: weights -> a number per metric, or bools, one per item of a test; None for none.
        name: short name in results and reports.
    """
    return Pair((init, loss, score), name)


@dataclass(frozen=True)
class NextToken:
    """The objective of a model that learns a task."""

    task: Task
    model: Model
    batch: int
    context: int

    def init(self, key: Key) -> Params:
        """Initial weights of the model."""
        return self.model.init(self.task.vocabulary, key)

    def loss(self, params: Params, key: Key, *data: Array) -> Float[Array, ""]:
        """Mean loss of a fresh batch, in nats per weighted token; ``data`` are the task's."""
        batch = pack_batch(self.task, key, self.batch, self.context, data)
        texts = batch.tokens, batch.segments, shift(batch.tokens)
        losses = self.model.training_losses(self.task.vocabulary, params, *texts, noise_key(key))
        return weighted_mean(losses, shift(batch.weights))

    def cost(self) -> Cost:
        """As the model says."""
        model, vocabulary = self.model, self.task.vocabulary
        return Cost(
            model.non_embedding_parameters(vocabulary),
            model.total_parameters(vocabulary),
            model.step_flops(vocabulary, self.batch, self.context),
            model.activation_bytes(vocabulary, self.batch, self.context),
        )


def noise_key(key: Key) -> Key:
    """Key of a step's dropout and other noise, from that of its batch.

    Windows draw from fold_in(key, 0), fold_in(key, 1), ...: a number that no window has keeps the two apart.
    """
    return jax.random.fold_in(key, 2**32 - 1)


def weighted_mean(losses: Float[Array, "B L"], weights: Float[Array, "B L"]) -> Float[Array, ""]:
    """Sum of weight * loss over the sum of weights; 0 where all weights are 0."""
    return jnp.sum(weights * losses) / jnp.maximum(jnp.sum(weights), jnp.finfo(jnp.float32).tiny)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
TAKEN = ("train_loss", "grad_norm")  # metrics of every member


def check_objective(objective: Objective) -> tuple[str, ...]:
    """Lists every way in which an objective breaks its contract.

    Draws weights, and takes one gradient, compiled as in training.

    Args:
        objective: an instance of an Objective subclass, or what ``pair`` returns.

    Returns:
        One sentence per problem, each saying what was seen and what to do; empty if there is none.
    """
    stages = (declaration_problems, _weights, _loss, _scores)
    return first_problems(functools.partial(stage, objective) for stage in stages)


def functions(objective: Objective) -> tuple[Any, ...]:
    """Classes and functions of an objective that are the user's."""
    given: tuple[Any, ...] = getattr(objective, "functions", ())
    return tuple(each for each in given if each is not None) or (type(objective),)


def declaration_problems(objective: Objective) -> Iterator[str]:
    """What is wrong with an objective before it is asked for weights."""
    kind = type(objective).__name__
    if not isinstance(objective, Objective):
        yield f"{kind} is no Objective: subclass jaxemerge.Objective, or make one with jaxemerge.pair"
        return
    try:
        hash(objective)
        fields = dataclasses.fields(objective)  # type: ignore[arg-type]
    except TypeError:
        yield f"{kind} is not hashable: use @dataclass(frozen=True), and tuples for lists"
        return
    if not isinstance(objective.name, str) or not _NAME.fullmatch(objective.name):
        yield f"name is {objective.name!r}: it names folders, so use letters, digits and _ alone"
    if type(objective) not in functions(objective):
        return
    for field in fields:
        value = getattr(objective, field.name)
        if not is_plain(value):
            yield (
                f"field {field.name} holds {value!r}, which cannot be written into a results folder: use "
                "numbers, text, True, False, None and tuples of these"
            )


def _weights(objective: Objective) -> Iterator[str]:
    try:
        yield from weight_problems(objective.init)
    except Exception as error:  # whatever the author's code raises is the finding
        yield f"init(key) fails under jax.jit: {told(error, functions(objective))}"


def _loss(objective: Objective) -> Iterator[str]:
    key = jax.random.key(0)
    params = objective.init(key)
    try:
        shape = jax.eval_shape(objective.loss, params, key)
    except Exception as error:  # as above
        yield f"loss(params, key) fails under jax.jit: {told(error, functions(objective))}"
        return
    if getattr(shape, "shape", None) != () or not jnp.issubdtype(shape.dtype, jnp.floating):
        seen = f"{shape.dtype}{list(shape.shape)}" if hasattr(shape, "shape") else type(shape).__name__
        yield f"loss returns {seen}: return one number, for example a mean"
        return
    if shape.dtype != jnp.float32:
        yield f"loss returns {shape.dtype}: return it in float32, as loss.astype(jnp.float32) is"
        return
    try:
        (value, gradient), same = repeated(jax.value_and_grad(objective.loss), params, key)
    except Exception as error:  # as above
        yield f"loss has no gradient: {told(error, functions(objective))}"
        return
    finite = all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))
    if not same:
        yield "loss is another when it is traced anew: use no randomness or state but the weights and the key"
    elif not np.isfinite(value):
        yield f"loss is {float(value)} for initial weights: it must be finite"
    elif not finite:
        yield "loss has a gradient that is not finite for initial weights: mind sqrt(0), log(0) and 0/0"


def _scores(objective: Objective) -> Iterator[str]:
    params = jax.eval_shape(objective.init, jax.random.key(0))
    try:
        found = jax.eval_shape(objective.score, params)
    except Exception as error:  # as above
        yield f"score(params) fails under jax.jit: {told(error, functions(objective))}"
        return
    yield from metric_problems("score", found, TAKEN)


def metric_problems(what: str, found: Any, taken: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with metrics that a function of the user's returns.

    Args:
        what: the function.
        found: what it returns, traced.
        taken: names of other metrics.
    """
    if not isinstance(found, Mapping):
        yield f"{what} returns {type(found).__name__}: return a dict of metrics by name"
        return
    for name, value in found.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in taken:
            yield f"{what} has a metric {name!r}: use letters, digits and _, but none of {', '.join(taken)}"
        elif value.dtype == bool and value.ndim == 1 and value.size:
            continue
        elif value.shape != () or not jnp.issubdtype(value.dtype, jnp.number):
            seen = f"{value.dtype}{list(value.shape)}"
            yield f"{what}'s {name} is {seen}: return one number, or one bool per item of a test"
