"""What makes tests of whole programs cheap where it counts that they run, and not what they compute."""

import pytest


@pytest.fixture(scope="package", autouse=True)
def coarse_reports():
    """Reports are drawn coarsely and with few resamples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
        patch.setattr("jaxemerge.report.distribution_law.BOOTSTRAPS", 5)
        patch.setattr("jaxemerge.report.write.SCALE", 0.25)
        yield
