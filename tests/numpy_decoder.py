"""The decoder once more, in NumPy and float64, written from the specification's docstrings alone.

``FAULTS`` are wrong readings of the specification; each must be told apart from the right one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from jaxemerge.models import Transformer

Array = np.ndarray


class NumpyDecoder:
    """Logits [B, L, V] of a specification and its weights, one example and one head at a time."""

    def __init__(self, spec: Transformer) -> None:
        self.spec = spec

    def __call__(
        self, params: dict[Any, Any], tokens: Array, segments: Array | None = None, offsets: Any = None
    ) -> Array:
        """Logits of every window; an example's positions start at the window's offset (0 if not given)."""
        windows = np.asarray(tokens)
        starts = np.zeros(len(windows), int) if offsets is None else np.asarray(offsets)
        parts = [[window] for window in windows]
        if self.spec.within_example and segments is not None:
            parts = [_examples(*each) for each in zip(windows, segments, strict=True)]
        return np.stack(
            [
                np.concatenate([self.example(params, part, start) for part in window])
                for window, start in zip(parts, starts, strict=True)
            ]
        )

    def example(self, params: dict[Any, Any], tokens: Array, start: int = 0) -> Array:
        head = params["embedding"] if self.spec.tied else params["head"]
        x = self.stream(params, tokens, start)[0][-1]
        return self.norm(params["norm"], x) @ np.asarray(head, np.float64).T

    def stream(self, params: dict[Any, Any], tokens: Array, start: int = 0) -> tuple[Array, Array]:
        """The residual stream [layers + 1, L, D] of one example, and attention weights [layers, H, L, L]."""
        self.start = start
        self.seen: list[Array] = []
        states = [self.embed(params, tokens)]
        for i in range(self.spec.depth):
            states.append(self.block(params["blocks"][i], states[-1]))
        return np.stack(states), np.stack(self.seen)

    def embed(self, params: dict[Any, Any], tokens: Array) -> Array:
        x = np.asarray(params["embedding"], np.float64)[tokens]
        if self.spec.positions == "learned":
            x = x + np.asarray(params["position_embedding"], np.float64)[self.start + np.arange(len(tokens))]
        return x

    def block(self, p: dict[str, Any], x: Array) -> Array:
        attended = x + self.attention(p["attention"], self.norm(p["attention_norm"], x))
        mlp_input = x if self.spec.residual == "parallel" else attended
        return attended + self.mlp(p["mlp"], self.norm(p["mlp_norm"], mlp_input))

    def norm(self, p: dict[str, Any], x: Array) -> Array:
        scale = np.asarray(p["scale"], np.float64)
        if self.spec.norm == "rms":
            return scale * x / np.sqrt(np.mean(x**2, -1, keepdims=True) + self.spec.norm_epsilon)
        centred = x - np.mean(x, -1, keepdims=True)
        spread = np.sqrt(np.mean(centred**2, -1, keepdims=True) + self.spec.norm_epsilon)
        return scale * centred / spread + np.asarray(p["bias"], np.float64)

    def linear(self, p: dict[str, Any], x: Array) -> Array:
        y = x @ np.asarray(p["kernel"], np.float64)
        assert ("bias" in p) == self.spec.bias
        return y + np.asarray(p["bias"], np.float64) if self.spec.bias else y

    def attention(self, p: dict[str, Any], x: Array) -> Array:
        width, k = self.spec.width, self.spec.width // self.spec.heads
        qkv = self.linear(p["qkv"], x)
        mixed, of_heads = np.zeros_like(x), []
        for head in range(self.spec.heads):
            q, key, value = (qkv[:, s * width + head * k : s * width + (head + 1) * k] for s in range(3))
            scores = self.turn(q) @ self.turn(key).T * self.scale(k)
            weights = np.zeros_like(scores)
            for t in range(len(x)):
                seen = slice(0, self.visible(t))
                bias = [self.bias(p, head, t, s) for s in range(self.visible(t))][: len(x)]
                weights[t, seen] = special.softmax(scores[t, seen] + bias)
            of_heads.append(weights)
            mixed[:, head * k : (head + 1) * k] = weights @ value
        self.seen.append(np.stack(of_heads))
        return self.linear(p["out"], mixed)

    def bias(self, p: dict[str, Any], head: int, t: int, s: int) -> float:
        """Of the score of head ``head`` for a query at t and a key at s."""
        if self.spec.positions == "alibi":
            return -self.slope(head) * (t - s)
        if self.spec.positions == "fire":
            return self.fire(p["fire"], head, t - s, self.start + t)
        return 0.0

    def slope(self, head: int) -> float:
        """Heads 1 to n of a power of two fall by 2^(-8 h / n); the others fill in the next power's gaps."""
        n = 2 ** int(np.log2(self.spec.heads))
        return 2.0 ** (-8 * (head + 1) / n) if head < n else 2.0 ** (-4 * (2 * (head - n) + 1) / n)

    def fire(self, p: dict[str, Any], head: int, distance: int, t: int) -> float:
        w = {name: np.asarray(value, np.float64) for name, value in p.items()}
        c = 0.1 * abs(w["rate_scale"][0])
        longest = max(t, self.spec.max_positions * abs(w["threshold_scale"][0]))
        share = np.log(1 + c * max(distance, 0)) / (np.log(1 + c * longest) + 1e-6)
        hidden = np.maximum(share * w["up_kernel"][0] + w["up_bias"], 0)
        return float(hidden @ w["down_kernel"][:, head] + w["down_bias"][head])

    def scale(self, k: int) -> float:
        return 1 / np.sqrt(k)

    def visible(self, t: int) -> int:
        return t + 1

    def turn(self, x: Array) -> Array:
        """Rotation as a product of complex numbers."""
        if self.spec.positions != "rotary":
            return x
        turned = int(x.shape[-1] * self.spec.rotary_fraction)
        first, second = self.pairs(turned)
        i = np.arange(turned // 2)
        speed = self.spec.rotary_base ** (-2 * i / max(turned, 1))
        z = (x[:, first] + 1j * x[:, second]) * np.exp(1j * np.arange(len(x))[:, None] * speed)
        y = x.copy()
        y[:, first], y[:, second] = z.real, z.imag
        return y

    def pairs(self, turned: int) -> tuple[Array, Array]:
        return np.arange(turned // 2), np.arange(turned // 2, turned)

    def mlp(self, p: dict[str, Any], x: Array) -> Array:
        hidden = self.linear(p["up"], x)
        if self.spec.mlp == "gelu":
            return self.linear(p["down"], self.gelu(hidden))
        gate, value = self.halves(hidden)
        active = self.gelu(gate) if self.spec.mlp == "geglu" else gate * special.expit(gate)
        return self.linear(p["down"], active * value)

    def halves(self, hidden: Array) -> tuple[Array, Array]:
        return hidden[:, : hidden.shape[1] // 2], hidden[:, hidden.shape[1] // 2 :]

    def gelu(self, x: Array) -> Array:
        return x * (1 + special.erf(x / np.sqrt(2))) / 2


def _examples(tokens: Array, segments: Array) -> list[Array]:
    return np.split(tokens, np.flatnonzero(np.diff(segments)) + 1)


def _fault(name: str, method: Callable[..., Any]) -> type[NumpyDecoder]:
    return type("Faulty", (NumpyDecoder,), {name: method})


def _other_residual(self: NumpyDecoder, p: dict[str, Any], x: Array) -> Array:
    attended = x + self.attention(p["attention"], self.norm(p["attention_norm"], x))
    mlp_input = attended if self.spec.residual == "parallel" else x
    return attended + self.mlp(p["mlp"], self.norm(p["mlp_norm"], mlp_input))


def _one_norm_for_both(self: NumpyDecoder, p: dict[str, Any], x: Array) -> Array:
    return NumpyDecoder.block(self, {**p, "mlp_norm": p["attention_norm"]}, x)


def _no_epsilon(self: NumpyDecoder, p: dict[str, Any], x: Array) -> Array:
    centred = x - (np.mean(x, -1, keepdims=True) if self.spec.norm == "layer" else 0)
    y = np.asarray(p["scale"], np.float64) * centred / np.sqrt(np.mean(centred**2, -1, keepdims=True))
    return y + np.asarray(p.get("bias", 0.0), np.float64)


def _no_norm_bias(self: NumpyDecoder, p: dict[str, Any], x: Array) -> Array:
    return NumpyDecoder.norm(self, {**p, "bias": np.zeros(x.shape[-1])}, x)


def _no_bias(self: NumpyDecoder, p: dict[str, Any], x: Array) -> Array:
    return x @ np.asarray(p["kernel"], np.float64)


def _from_position_one(self: NumpyDecoder, x: Array) -> Array:
    return NumpyDecoder.turn(self, np.vstack([x[:1], x]))[1:]


def _turn_everything(self: NumpyDecoder, x: Array) -> Array:
    return NumpyDecoder(dataclasses.replace(self.spec, rotary_fraction=1.0)).turn(x)


def _from_row_one(self: NumpyDecoder, params: dict[Any, Any], tokens: Array) -> Array:
    table = params["position_embedding"]
    return NumpyDecoder.embed(self, {**params, "position_embedding": table[1:]}, tokens)


def _fire_without_logarithm(self: NumpyDecoder, p: dict[str, Any], head: int, distance: int, t: int) -> float:
    longest = max(t, self.spec.max_positions * abs(float(p["threshold_scale"][0])))
    c = 0.1 * abs(float(p["rate_scale"][0]))
    share = distance / longest  # undone below by the inverse of the right share
    right = np.expm1(share * (np.log(1 + c * longest) + 1e-6)) / c
    return NumpyDecoder.fire(self, p, head, right, t)


# A fault by its name: the wrong decoder, and fields of a specification under which it must be seen.
FAULTS: dict[str, tuple[type[NumpyDecoder], dict[str, Any]]] = {
    "sequential for parallel": (_fault("block", _other_residual), {"residual": "parallel"}),
    "parallel for sequential": (_fault("block", _other_residual), {"residual": "sequential"}),
    "one norm for both branches": (_fault("block", _one_norm_for_both), {}),
    "no epsilon in LayerNorm": (_fault("norm", _no_epsilon), {"norm": "layer"}),
    "no epsilon in RMSNorm": (_fault("norm", _no_epsilon), {"norm": "rms"}),
    "no bias in LayerNorm": (_fault("norm", _no_norm_bias), {"norm": "layer"}),
    "no bias in linear layers": (_fault("linear", _no_bias), {"bias": True}),
    "neighbours paired in rotation": (
        _fault("pairs", lambda self, n: (np.arange(0, n, 2), np.arange(1, n, 2))),
        {"rotary_fraction": 0.5},
    ),
    "rotation the other way": (
        _fault("pairs", lambda self, n: (np.arange(n // 2, n), np.arange(n // 2))),
        {"rotary_fraction": 1.0, "rotary_base": 7.0},
    ),
    "no rotation": (_fault("turn", lambda self, x: x), {"rotary_fraction": 0.25}),
    "rotation of everything": (_fault("turn", _turn_everything), {"rotary_fraction": 0.5}),
    "rotation in place of no positions": (
        _fault(
            "turn", lambda self, x: NumpyDecoder(dataclasses.replace(self.spec, positions="rotary")).turn(x)
        ),
        {"positions": "none", "rotary_fraction": 0.5},
    ),
    "learned positions from 1": (_fault("embed", _from_row_one), {"positions": "learned"}),
    "slopes in the other order": (
        _fault("slope", lambda self, head: NumpyDecoder.slope(self, self.spec.heads - 1 - head)),
        {"positions": "alibi"},
    ),
    "slopes that rise with distance": (
        _fault("slope", lambda self, head: -NumpyDecoder.slope(self, head)),
        {"positions": "alibi"},
    ),
    "distances not as a share of the length so far": (
        _fault("fire", lambda self, p, head, d, t: NumpyDecoder.fire(self, p, head, d, 0)),
        {"positions": "fire", "max_positions": 4},
    ),
    "distances without logarithm": (
        _fault("fire", _fire_without_logarithm),
        {"positions": "fire", "max_positions": 4},
    ),
    "scores not scaled": (_fault("scale", lambda self, k: 1.0), {}),
    "scores scaled by the model width": (_fault("scale", lambda self, k: self.spec.width**-0.5), {}),
    "sees the next token": (_fault("visible", lambda self, t: t + 2), {}),
    "does not see itself": (_fault("visible", lambda self, t: max(t, 1)), {}),
    "GELU by tanh": (
        _fault("gelu", lambda self, x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2),
        {"mlp": "gelu"},
    ),
    "SiLU for GELU": (_fault("gelu", lambda self, x: x * special.expit(x)), {"mlp": "geglu"}),
    "gate and value exchanged": (
        _fault("halves", lambda self, hidden: NumpyDecoder.halves(self, hidden)[::-1]),
        {"mlp": "swiglu"},
    ),
}
# A rotation started at position 1 instead of 0 is no fault: attention sees only distances.
NO_FAULT = _fault("turn", _from_position_one)
