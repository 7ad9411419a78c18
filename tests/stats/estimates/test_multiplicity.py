"""Adjusted p-values against statsmodels, and their error rate when nothing is there."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from jaxemerge.stats import holm


@pytest.mark.parametrize("tests", [1, 2, 7, 31])
def test_adjusted_p_values_are_statsmodels(tests):
    p = np.random.default_rng(tests).uniform(size=tests) ** 3
    p[tests // 2 :] = np.round(p[tests // 2 :], 2)  # ties
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_tests_that_were_not_made_do_not_count():
    assert holm([0.01, np.nan, 0.04]).tolist() == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("cells", [3, 15])
def test_any_error_is_as_rare_as_asked(cells):
    p = np.random.default_rng(0).uniform(size=(4000, cells))
    assert np.mean([holm(row).min() <= 0.05 for row in p]) == pytest.approx(0.05, abs=0.01)
    assert np.mean(p.min(axis=1) <= 0.05) > 0.13


def test_bad_input():
    with pytest.raises(ValueError, match=r"p_values from 0.5 to 1.5 must lie in \[0, 1\]"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match=r"shape \(1, 1\)"):
        holm([[0.5]])
