"""All of k and thresholds: the autoencoders' scores, and what the study makes of results."""

import jax
import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from jaxemerge import check_objective
from jaxemerge.runner.tables import cell_columns
from jaxemerge.schema import SCHEMA
from studies import autoencoder, induced_emergence
from studies.autoencoder import CLEAR, IMAGES, LIMITS, TOGETHER, TRAINED, Autoencoder

SEEDS = 40


def test_the_images_are_those_of_scikit_learn():
    np.testing.assert_array_equal(IMAGES * 16, load_digits().data)


@pytest.fixture(scope="module")
def half_trained():
    """Weights whose errors lie around the limits: those of principal components, in the outer places."""
    rng, images = np.random.default_rng(0), IMAGES[:TRAINED].astype(np.float64)
    mean = images.mean(axis=0)
    axes = np.linalg.svd(images - mean, full_matrices=False)[2][:16]
    linear = 20.0  # GELU is the identity far from 0
    weights = [np.eye(64), axes.T, axes, np.eye(64)]
    biases = [linear - mean, -linear * axes.sum(axis=1), np.full(64, linear), mean - linear]
    return [
        {"weight": (w + 1e-4 * rng.normal(size=w.shape)).astype(np.float32), "bias": b.astype(np.float32)}
        for w, b in zip(weights, biases, strict=True)
    ]


def test_scores_are_those_of_plain_numpy(half_trained):
    found = {name: np.asarray(value) for name, value in Autoencoder(width=16).score(half_trained).items()}
    tested = IMAGES[TRAINED:].astype(np.float64)
    hidden = tested
    for i, layer in enumerate(half_trained):
        hidden = hidden @ layer["weight"].astype(np.float64) + layer["bias"]
        if i in (0, 2):
            hidden = np.where(hidden > 10, hidden, np.nan)  # GELU does nothing there
    spread = IMAGES[:TRAINED].astype(np.float64)
    variance = np.mean((spread - spread.mean(axis=0)) ** 2)
    errors = np.mean((hidden - tested) ** 2, axis=1) / variance
    assert found["error"] == pytest.approx(errors.mean(), rel=1e-3)
    near = {c: np.abs(errors - c) < 1e-3 for c in LIMITS}  # float32 may see these on the other side
    for limit in LIMITS:
        assert 0 < np.sum(errors < limit) < 500
        np.testing.assert_array_equal(found[f"below_{limit:g}"][~near[limit]], (errors < limit)[~near[limit]])
    clear = found[f"below_{CLEAR:g}"]
    for k in TOGETHER:
        expected = [all(clear[(start + i) % 500] for i in range(k)) for start in range(500)]
        assert found[f"all_of_{k}"].tolist() == expected
        assert 0 < sum(expected) < clear.sum()


def test_the_autoencoder_keeps_the_contract_and_refuses_what_has_no_size():
    assert not check_objective(Autoencoder(width=3))
    with pytest.raises(ValueError, match="width=0: must be at least 1"):
        Autoencoder(width=0)


def test_errors_of_the_mean_image_are_one():
    width = 2
    params = Autoencoder(width).init(jax.random.key(0))
    mean = IMAGES[:TRAINED].mean(axis=0)
    params[-1] = {"weight": np.zeros((64, 64), np.float32), "bias": mean}
    assert Autoencoder(width).errors(params, IMAGES[:TRAINED]).mean() == pytest.approx(1.0, rel=1e-4)
    assert pytest.approx(0.0734, abs=1e-4) == autoencoder.VARIANCE


def ends(all_of):
    """Final scores in which single tokens and images are right in a share that grows evenly with scale.

    Args:
        all_of: from that share and k to the share of all of k.
    """
    rng, rows = np.random.default_rng(0), []
    cells = induced_emergence.cells(quick=True)
    for family in ("sort", "digits"):
        chosen = [cell for cell in cells if cell.family == family]
        for cell, share in zip(chosen, np.linspace(0.05, 0.95, len(chosen)), strict=True):
            fixed = {**cell_columns(cell), "flops": 1.0, "step": cell.steps, "tokens": 1, "split": "test"}
            fixed |= {"diverged": False, "length": 6 if family == "sort" else None}
            for seed in range(SEEDS):
                p = share + rng.uniform(-0.04, 0.04)
                values = (
                    {"token_accuracy": (p, 3500), "exact_match": (all_of(p, 7), 500)}
                    if family == "sort"
                    else {"error": (1 - p, None)}
                    | {f"below_{limit:g}": (p, 500) for limit in LIMITS}
                    | {f"all_of_{k}": (all_of(p, k), 500) for k in TOGETHER}
                )
                rows += [
                    {**fixed, "init_seed": seed, "data_seed": seed, "metric": metric, "value": v, "trials": n}
                    for metric, (v, n) in values.items()
                ]
    return pl.DataFrame(rows, schema=SCHEMA)


def found_in(frame):
    return {each.name: each for each in induced_emergence.findings(induced_emergence.kept(frame))}


def test_powers_are_told_from_what_comes_together():
    apart, joint = found_in(ends(lambda p, k: p**k)), found_in(ends(lambda p, k: p))
    for name, k in (("sort, all of 7 tokens", 7), *((f"digits, all of {k} images", k) for k in TOGETHER)):
        label = f"{name}, less the power {k}, mean of all widths"
        assert apart[label].value == pytest.approx(0.0, abs=1e-9)
        assert joint[label].low > 0.05


def test_scores_of_smooth_and_of_sharp_metrics():
    found = found_in(ends(lambda p, k: p**k))

    def score(name):
        return found[f"{name}, emergence score"]

    # Eight and eleven even steps: scores of 7 and 10, but for what seeds differ by.
    assert score("sort, tokens right").value == pytest.approx(7, rel=0.15)
    assert score("digits, error").value == pytest.approx(10, rel=0.15)
    assert score("digits, images with error below 0.15").value == pytest.approx(10, rel=0.15)
    powers = np.linspace(0.05, 0.95, 11) ** 8
    expected = np.ptp(powers) / np.sqrt(np.median(np.diff(powers) ** 2))
    assert score("digits, all of 8 images below 0.15").value == pytest.approx(expected, rel=0.3)
    assert score("digits, all of 8 images below 0.15").low > 2 * score("digits, error").high
    assert score("sort, all of 7 tokens right").low > 2 * score("sort, tokens right").high


def test_a_diverged_seed_has_failed():
    frame = ends(lambda p, k: p**k)
    lost = (pl.col("init_seed") == 0) & (pl.col("metric") == "error")
    worse = frame.with_columns(value=pl.when(lost).then(None).otherwise("value"))
    curves = next(iter(induced_emergence.digits(induced_emergence.kept(worse)))).curves
    np.testing.assert_array_equal(curves[0], -1.0)
