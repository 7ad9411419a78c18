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

from typing import Any, TypeAlias

import jax

Key: TypeAlias = jax.Array  # a typed JAX PRNG key (threefry)
Params: TypeAlias = dict[Any, Any]  # nested dict of arrays; with a leading axis S in a population
