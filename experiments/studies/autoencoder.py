"""Images of digits through few numbers and back: what ``induced_emergence`` trains besides a task.

The images are the 1,797 of scikit-learn's ``load_digits``, 8 x 8 pixels of 0 to 16: the test part of
"Optical recognition of handwritten digits" (Alpaydin and Kaynak 1998, UCI Machine Learning Repository,
doi:10.24432/C50P49, licence CC BY 4.0). digits.npz holds them, so that no one needs scikit-learn.

Results know this file by its digest: what changes here makes other cells, and the study is to be run again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxemerge as je

PIXELS, TRAINED = 64, 1297  # the other 500 images are those that are scored
with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as _kept:
    IMAGES = np.asarray(_kept["images"] / 16, np.float32)
VARIANCE = float(np.mean(np.var(IMAGES[:TRAINED], axis=0)))
LIMITS = (0.3, 0.15, 0.075)  # an image whose error is less is clear
CLEAR = LIMITS[1]
TOGETHER = (2, 4, 8)  # images that must all be clear


@dataclass(frozen=True)
class Autoencoder(je.Objective):
    """Two layers to ``width`` numbers and two back.

    Errors are mean squares over pixels as shares of the images' variance: 1 for who always answers with the
    mean image.

    Attributes:
        width: numbers in the bottleneck.
        hidden: units of the layer on each side of it.
        batch: images per step.

    Raises:
        ValueError: a field is below 1.
    """

    width: int = 8
    hidden: int = 64
    batch: int = 64

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")

    def init(self, key: Any) -> Any:
        sizes = (PIXELS, self.hidden, self.width, self.hidden, PIXELS)
        keys = jax.random.split(key, len(sizes) - 1)
        shapes = zip(keys, sizes[:-1], sizes[1:], strict=True)
        return [
            {"weight": jax.random.normal(k, (n, m)) / jnp.sqrt(n), "bias": jnp.zeros(m)} for k, n, m in shapes
        ]

    def errors(self, params: Any, images: Any) -> Any:
        """The error of each image, [N]."""
        h = images
        for i, layer in enumerate(params):
            h = h @ layer["weight"] + layer["bias"][None]
            if i in (0, 2):  # neither the bottleneck nor the image is bent
                h = jax.nn.gelu(h)
        return jnp.mean((h - images) ** 2, axis=1) / VARIANCE

    def loss(self, params: Any, key: Any) -> Any:
        chosen = jax.random.randint(key, (self.batch,), 0, TRAINED)
        return self.errors(params, jnp.asarray(IMAGES)[chosen]).mean()

    def score(self, params: Any) -> Mapping[str, Any]:
        """The error; the share of images below each limit; that of k one after another that are all clear."""
        errors = self.errors(params, IMAGES[TRAINED:])
        scores = {"error": errors.mean(), **{f"below_{limit:g}": errors < limit for limit in LIMITS}}
        clear = errors < CLEAR
        for k in TOGETHER:  # each image with those that follow it, round the end
            scores[f"all_of_{k}"] = jnp.stack([jnp.roll(clear, -i) for i in range(k)]).all(axis=0)
        return scores
