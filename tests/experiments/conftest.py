"""Reports of these tests are drawn coarsely and use few resamples: what counts is that they are written."""

import pytest


@pytest.fixture(scope="package", autouse=True)
def coarse_reports():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
        patch.setattr("jaxemerge.report.write.SCALE", 0.25)
        patch.setattr("figures.SCALE", 0.5)
        yield
