"""How does the learning rate move after warm-up? Schedules by name, or a function of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxemerge.code import check_function, told
from jaxemerge.types import Array, Float, Int

Schedule = Callable[[Any, Any], Any]  # (step, length of the schedule) -> share of the peak learning rate
SCHEDULES = ("cosine", "linear", "constant", "wsd", "inverse_sqrt")


def check_schedule(schedule: str | Schedule) -> None:
    """Checks a schedule before training.

    Raises:
        ValueError: there is none of this name, or a function that cannot be saved by name, fails under
            ``jax.jit``, or does not return one number.
    """
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule={schedule!r}: must be one of {', '.join(SCHEDULES)}, or a function")
        return
    check_function("schedule", schedule)
    scalars = (jax.ShapeDtypeStruct((), kind) for kind in (jnp.int32, jnp.float32))
    try:
        share = jax.eval_shape(schedule, *scalars)
    except Exception as error:  # whatever the author's code raises
        raise ValueError(f"schedule: under jax.jit {told(error, [schedule])}") from error
    if getattr(share, "shape", None) != ():
        raise ValueError("schedule: must return one number, the share of the peak learning rate")


def after_warmup(
    schedule: str | Schedule,
    step: Int[Array, ""],
    length: Float[Array, ""] | float,
    *,
    warmup: int,
    final: float,
) -> Any:
    """Share of the peak learning rate after warm-up.

    Args:
        schedule: one of ``SCHEDULES``, or a function of step and length.
        step: of training.
        length: of the schedule, in steps.
        warmup: steps before it.
        final: share at the end.
    """
    if not isinstance(schedule, str):
        return schedule(step, length)
    if schedule == "constant":
        return 1.0
    if schedule == "inverse_sqrt":
        return jnp.sqrt(max(warmup, 1) / jnp.maximum(step, max(warmup, 1)))
    # Both may be traced: trainings that differ in length alone are one program.
    done = jnp.clip((step - warmup) / jnp.maximum(length - warmup, 1.0), 0.0, 1.0)
    if schedule == "cosine":
        return final + (1.0 - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
    share = 1.0 if schedule == "linear" else 0.2
    return 1.0 - (1.0 - final) * jnp.maximum(done - (1.0 - share), 0.0) / share
