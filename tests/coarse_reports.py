"""Reports drawn coarsely and with few resamples, for tests in which it counts that they are written."""

import pytest


@pytest.fixture(scope="package", autouse=True)
def coarse_reports():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
        patch.setattr("jaxemerge.report.write.SCALE", 0.25)
        yield
