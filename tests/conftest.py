"""Two CPU devices for every test, no silent broadcasting between ranks, a cache folder of their own."""

import os
import tempfile

import jax

from jaxemerge import use_host_cores

use_host_cores(2)  # before anything starts JAX
jax.devices()  # and at once: training asks for as many devices as there are cores, which may be one
jax.config.update("jax_numpy_rank_promotion", "raise")
# Programs that tests compile stay out of the user's cache, and those of a user out of the tests.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="jaxemerge-tests-")
