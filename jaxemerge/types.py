"""Which letter means which axis, and what the common aliases stand for.

The dimension key of the whole library; inside functions an array of rank two or more carries its
letters as a suffix (``logits_BLV``).

    S  seeds (members of a population)      V  vocabulary
    B  examples in a batch                  T  training steps
    L  positions in a context               E  evaluation items
    D  model width                          C  mixture components
    H  attention heads                      R  bootstrap resamples
    K  head width                           N  model parameters, where a scaling law speaks of them
    F  MLP width                            P  positions of a whole batch, laid end to end (B * L)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import jax

if TYPE_CHECKING:
    from jaxtyping import Array as Array
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Int as Int
    from jaxtyping import UInt32 as UInt32
else:
    Array = jax.Array

    class _Shaped:
        """``Float[Array, "S L"]`` where nothing checks shapes: jaxtyping need not be installed to train."""

        def __class_getitem__(cls, array_and_shape: tuple[Any, str]) -> Any:
            array, shape = array_and_shape
            return Annotated[array, f"{cls.__name__} {shape}"]

    Bool, Float, Int, UInt32 = (type(name, (_Shaped,), {}) for name in ("Bool", "Float", "Int", "UInt32"))

Key: TypeAlias = jax.Array  # a typed JAX PRNG key (threefry)
Params: TypeAlias = dict[Any, Any]  # nested dict of arrays; with a leading axis S in a population
