"""What makes tests of whole programs cheap where it counts that they run, and not what they compute."""

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def coarse_reports():
    """Reports are drawn coarsely and with few resamples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
        patch.setattr("jaxemerge.report.write.SCALE", 0.25)
        yield


@pytest.fixture
def quick_compilation():
    """Programs are compiled without most optimizations, in less than half the time.

    JAX would use a program again that was compiled before, whatever this setting says: so none is left to
    tests before and after, which look at numbers.
    """
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
