"""Hoffmann's parametric law, on their runs, against published fits, SciPy and planted laws."""

from pathlib import Path

import numpy as np
import pytest

from jaxemerge.stats import fit_chinchilla

RUNS = np.genfromtxt(Path(__file__).parents[1] / "data/chinchilla_runs.csv", delimiter=",", names=True)
N, L = RUNS["parameters"], RUNS["loss"]
D = RUNS["training_flops"] / (6 * N)
KEPT = np.sort(np.argsort(L)[:-5])  # the five highest losses dropped, as by Besiroglu et al. (2024)


def published(starts):
    return fit_chinchilla(N[KEPT], D[KEPT], L[KEPT], starts=starts)


@pytest.mark.parametrize("starts", ["grid", "quick"])
def test_published_optimum(starts):
    found = published(starts)
    assert found.converged
    assert found.objective <= 0.0010182741
    np.testing.assert_allclose(found.values, [477.842, 2143.864, 1.817236, 0.347313, 0.367183], rtol=1e-3)
