"""Pass rates predicted from the answer loss, where P = exp(-loss) is known and small models never pass."""

import numpy as np
import pytest

from jaxemerge.stats import predict_from_loss

SERIES = np.array([0.036, 0.109, 0.241, 0.499, 0.892, 1.542]) * 1e9
LARGEST = 10e9


def planted(seed=0, number=40, samples=1000):
    """Items whose loss goes as a power of N; half of them are too hard for these samples."""
    rng = np.random.default_rng(seed)
    height = np.concatenate([rng.uniform(1, 4, number // 2), rng.uniform(14, 22, number // 2)])[:, None]
    power = rng.uniform(0.3, 0.5, (number, 1))
    loss = height * (SERIES / 0.5e9) ** -power * np.exp(rng.normal(0, 0.02, (number, 6)))
    large = height * (LARGEST / 0.5e9) ** -power
    return loss, rng.binomial(samples, np.exp(-loss)), np.exp(-large)


def test_hard_items_are_predicted():
    loss, passes, truth = planted()
    hard = ~passes.any(axis=1)
    assert hard.sum() >= 15
    found = predict_from_loss(SERIES, loss, (passes, 1000), LARGEST)
    assert found.rate.value.shape == (40, 1)
    # Where the reference is the only way to pass, F = ln(loss).
    assert found.slope.value == pytest.approx(1, abs=0.05)
    assert found.intercept.value == pytest.approx(0, abs=0.05)
    assert found.slope.interval.low < found.slope.value < found.slope.interval.high
    assert found.rate.value[hard].mean() == pytest.approx(truth[hard].mean(), rel=0.15)
    inside = (found.rate.interval.low <= truth) & (truth <= found.rate.interval.high)
    assert inside.mean() >= 0.8
    np.testing.assert_allclose(found.rate_at([0.5, 2.0]), np.exp([-0.5, -2.0]), rtol=0.1)


def test_loss_per_token_shifts_the_relation():
    loss, passes, _ = planted()
    whole, each = (predict_from_loss(SERIES, loss / n, (passes, 1000), LARGEST) for n in (1, 5))
    np.testing.assert_allclose(each.rate.value, whole.rate.value, rtol=1e-4)
    assert each.intercept.value - whole.intercept.value == pytest.approx(np.log(5), abs=0.05)


def test_two_scales_are_enough_for_a_point():
    loss, passes, truth = planted()
    found = predict_from_loss(SERIES[[0, 5]], loss[:, [0, 5]], (passes[:, [0, 5]], 1000), [LARGEST])
    assert found.rate.value.mean() == pytest.approx(truth.mean(), abs=0.05)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda loss, k: (-loss, k), {}, r"losses of shape \(40, 6\) must be positive"),
        (lambda loss, k: (loss[:3], k), {}, r"losses of shape \(3, 6\) must be positive numbers of shape"),
        (
            lambda loss, k: (loss, 0 * k),
            {},
            "no item has a pass: the relation of loss and rate cannot be fitted",
        ),
        (lambda loss, k: (loss, k), {"bootstraps": 0}, "bootstraps=0 must be at least 1"),
        (lambda loss, k: (loss, k), {"confidence": 95}, "confidence=95 must lie"),
    ],
)
def test_refuses(change, options, message):
    loss, passes, _ = planted()
    loss, passes = change(loss, passes)
    with pytest.raises(ValueError, match=message):
        predict_from_loss(SERIES, loss, (passes, 1000), LARGEST, **options)
