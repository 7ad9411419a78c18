"""Two CPU devices for every test, and no silent broadcasting between ranks."""

import jax

from jaxemerge import use_host_cores

use_host_cores(2)  # before anything starts JAX
jax.config.update("jax_numpy_rank_promotion", "raise")
