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

    def __call__(self, params: dict[Any, Any], tokens: Array) -> Array:
        return np.stack([self.example(params, row) for row in np.asarray(tokens)])

    def example(self, params: dict[Any, Any], tokens: Array) -> Array:
        x = np.asarray(params["embedding"], np.float64)[tokens]
        for i in range(self.spec.depth):
            x = self.block(params["blocks"][i], x)
        head = params["embedding"] if self.spec.tied else params["head"]
        return self.norm(params["norm"], x) @ np.asarray(head, np.float64).T

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
        mixed = np.zeros_like(x)
        for head in range(self.spec.heads):
            q, key, value = (qkv[:, s * width + head * k : s * width + (head + 1) * k] for s in range(3))
            scores = self.turn(q) @ self.turn(key).T * self.scale(k)
            weights = np.zeros_like(scores)
            for t in range(len(x)):
                seen = slice(0, self.visible(t))
                weights[t, seen] = special.softmax(scores[t, seen])
            mixed[:, head * k : (head + 1) * k] = weights @ value
        return self.linear(p["out"], mixed)

    def scale(self, k: int) -> float:
        return 1 / np.sqrt(k)

    def visible(self, t: int) -> int:
        return t + 1

    def turn(self, x: Array) -> Array:
        """Rotation as a product of complex numbers."""
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
