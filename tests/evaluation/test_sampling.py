"""Are tokens drawn from the distribution that is asked for?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxemerge.evaluation import GREEDY, Sampling
from jaxemerge.evaluation.decoding import pick

LOGITS = np.log(np.array([0.05, 0.4, 0.0, 0.2, 0.1, 0.25, 0.0], np.float32) + 1e-30)


def drawn(sampling: Sampling, logits: np.ndarray = LOGITS, n: int = 40_000) -> np.ndarray:
    """Shares of the tokens over evenly spaced numbers in [0, 1): exact to 2 / n."""
    uniform = jnp.asarray((np.arange(n) + 0.5) / n, jnp.float32)
    tokens = pick(jnp.broadcast_to(jnp.asarray(logits), (n, len(logits))), uniform, sampling)
    return np.bincount(np.asarray(tokens), minlength=len(logits)) / n


def expected(logits: np.ndarray, kept: list[int], temperature: float = 1.0) -> np.ndarray:
    weights = np.zeros(len(logits))
    weights[kept] = np.exp(logits[kept].astype(float) / temperature)
    return weights / weights.sum()


EVERY = [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), EVERY),
        (Sampling(temperature=0.5), EVERY),
        (Sampling(temperature=2.0), [*EVERY, 2, 6]),
        (Sampling(top_k=2), [1, 5]),
        (Sampling(top_k=1), [1]),
        (Sampling(top_k=7), EVERY),
        (Sampling(top_p=0.3), [1]),  # one token may be more than is asked for
        (Sampling(top_p=0.6), [1, 5]),
        (Sampling(top_p=0.84), [1, 3, 5]),
        (Sampling(top_p=0.86), [1, 3, 4, 5]),
        (Sampling(top_k=3, top_p=0.7), [1, 5]),  # of what top_k leaves: .47, .29, .24
        (Sampling(temperature=0.5, top_p=0.55), [1]),  # .16 of .275: 58 %
    ],
    ids=str,
)
def test_shares(sampling: Sampling, kept: list[int]) -> None:
    np.testing.assert_allclose(drawn(sampling), expected(LOGITS, kept, sampling.temperature), atol=2e-4)


def test_large_logits_and_rare_tokens() -> None:
    logits = np.array([300.0, 293.0], np.float32)  # e^-7: 9e-4
    assert drawn(Sampling(), logits)[1] == pytest.approx(np.exp(-7) / (1 + np.exp(-7)), rel=0.05)


def test_greedy_takes_the_likeliest_whatever_is_drawn() -> None:
    assert drawn(GREEDY)[1] == 1


def test_ties_with_the_last_of_top_k_are_kept() -> None:
    assert drawn(Sampling(top_k=1), np.zeros(4, np.float32)).tolist() == [0.25] * 4


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(), Sampling(top_k=2, top_p=0.5)], ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_give_no_token(sampling: Sampling, bad: float) -> None:
    logits = jnp.asarray([[0.0, bad, 1.0], [0.0, 5.0, 1.0]], jnp.float32)
    tokens = pick(logits, jnp.asarray([0.5, 0.5]), sampling)
    assert tokens.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -1.0}, r"temperature=-1.0: must be 0 \(greedy\) or a positive number"),
        ({"temperature": float("nan")}, "temperature=nan: must be 0"),
        ({"top_k": -1}, "top_k=-1: must be at least 1, or 0 for all tokens"),
        ({"top_p": 0.0}, r"top_p=0.0: must lie in \(0, 1\]"),
        ({"top_p": 1.1}, r"top_p=1.1: must lie in"),
    ],
)
def test_bad_fields(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**fields)  # type: ignore[arg-type]
