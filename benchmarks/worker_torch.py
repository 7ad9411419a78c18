"""The same training in PyTorch: eager, compiled, and vmapped over seeds.

``nn.Linear``, ``scaled_dot_product_attention``, fused ``AdamW``; bfloat16 by ``torch.autocast``, which keeps
norms, softmax and loss in float32. Batches are drawn beforehand; that is not charged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cells import Cell
from jaxemerge.models import Transformer
from worker import Common, Trainer, Work, serve


class Block(nn.Module):
    """Attention and MLP of the same input, as in GPT-NeoX."""

    cos: Tensor
    sin: Tensor

    def __init__(self, spec: Transformer, length: int) -> None:
        super().__init__()
        width, self.heads, self.rotary = spec.width, spec.heads, spec.rotary_width
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, spec.mlp_width), nn.Linear(spec.mlp_width, width)
        half = self.rotary // 2
        angle = np.outer(np.arange(length), 10_000.0 ** (-np.arange(half) / half)).astype(np.float32)
        self.register_buffer("cos", torch.from_numpy(np.cos(angle)), persistent=False)
        self.register_buffer("sin", torch.from_numpy(np.sin(angle)), persistent=False)

    def turn(self, x: Tensor) -> Tensor:
        half = self.rotary // 2
        a, b, rest = x[..., :half], x[..., half : self.rotary], x[..., self.rotary :]
        return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin, rest], -1)

    def attention(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(self.turn(q), self.turn(k), v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x: Tensor) -> Tensor:
        return (
            x
            + self.attention(self.attention_norm(x))
            + self.down(nn.functional.gelu(self.up(self.mlp_norm(x))))
        )


class Decoder(nn.Module):
    """Weighted mean of the negative log-likelihood of the next token."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        spec, vocabulary = cell.model, cell.task.vocabulary
        self.embedding = nn.Embedding(vocabulary, spec.width)
        self.blocks = nn.ModuleList([Block(spec, cell.context) for _ in range(spec.depth)])
        self.norm = nn.LayerNorm(spec.width)
        self.head = nn.Linear(spec.width, vocabulary, bias=False)

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))[:, :-1].flatten(0, 1)
        costs = nn.functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none")
        weight = weights[:, 1:].flatten()
        return (costs * weight).sum() / weight.sum()


_RENAMED = {
    "embedding": "embedding.weight",
    "head": "head.weight",
    "scale": "weight",
    "kernel": "weight",
}


def torch_weights(weights: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """jaxemerge's weights under PyTorch's names; kernels are the other way round."""
    found = {}
    for name, value in weights.items():
        stem, _, last = name.rpartition(".")
        stem = stem.replace("attention.", "").replace("mlp.", "")
        renamed = ".".join(filter(None, [stem, _RENAMED.get(last, last)]))
        found[renamed] = torch.from_numpy(np.ascontiguousarray(value.T if last == "kernel" else value))
    return found


def adamw(parameters: Mapping[str, Tensor], cell: Cell, matrix_rank: int) -> torch.optim.AdamW:
    """Decay on matrices only; ``matrix_rank`` is 3 where a leading axis counts seeds."""
    spec, values = cell.optimizer, list(parameters.values())
    groups = [
        {"params": [p for p in values if p.ndim >= matrix_rank], "weight_decay": spec.weight_decay},
        {"params": [p for p in values if p.ndim < matrix_rank], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(spec.beta1, spec.beta2), eps=spec.epsilon, fused=True)


def rate(cell: Cell, step: int) -> float:
    """Linear warm-up, then half a cosine."""
    peak, warmup = cell.optimizer.learning_rate, cell.optimizer.warmup
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (cell.steps - warmup)))


class Single:
    """One seed after another: here one of them, trained on and on."""

    work = 1.0

    def __init__(self, work: Work, compiled: bool) -> None:
        self.cell = work.cell
        self.common, self.compiled = Common.read(work.folder), compiled
        self.device = _device()
        self.tokens = torch.from_numpy(self.common.tokens).long().to(self.device)
        self.weights = torch.from_numpy(self.common.weights_of_loss).to(self.device)
        self.start()

    def start(self) -> None:
        """From the common weights."""
        self.taken = 0
        if not hasattr(self, "model"):
            self.model = Decoder(self.cell).to(self.device)
            self.loss = torch.compile(self.model) if self.compiled else self.model
        self.model.load_state_dict(torch_weights(self.common.weights))
        self.optimizer = adamw(dict(self.model.named_parameters()), self.cell, 2)

    def step(self) -> Tensor:
        at = self.taken % len(self.tokens)
        with self.precision():
            value: Tensor = self.loss(self.tokens[at], self.weights[at])
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.cell.optimizer.clip or math.inf)
        self.update()
        return value.detach()

    def precision(self) -> Any:
        """Products in bfloat16 where the cell says so."""
        on = self.cell.model.dtype == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)

    def update(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.cell, self.taken)
        self.optimizer.step()
        self.taken += 1

    def losses(self, steps: int) -> list[float]:
        self.start()
        return [float(self.step().flatten()[0]) for _ in range(steps)]

    def run(self, units: int) -> object:
        for _ in range(units):
            value = self.step()
        return float(value.flatten()[0])  # waits


class Vmap(Single):
    """All seeds side by side: torch.func.vmap of the gradient, one optimizer for stacked weights."""

    def __init__(self, work: Work, compiled: bool) -> None:
        self.work, self.seeds = float(work.seeds), work.seeds
        super().__init__(work, compiled)
        order = (np.arange(len(self.tokens))[:, None] + np.arange(work.seeds)) % len(self.tokens)
        self.tokens, self.weights = self.tokens[order], self.weights[order]

    def start(self) -> None:
        self.taken = 0
        model = Decoder(self.cell).to(self.device)
        weights = torch_weights(self.common.weights)
        self.stacked = {n: torch.stack([w] * self.seeds).to(self.device) for n, w in weights.items()}
        self.optimizer = adamw(self.stacked, self.cell, 3)
        if hasattr(self, "gradient"):
            return

        def loss(params: dict[str, Tensor], tokens: Tensor, weights: Tensor) -> Any:
            with self.precision():
                return torch.func.functional_call(model, params, (tokens, weights))

        gradient = torch.func.vmap(torch.func.grad_and_value(loss))
        self.gradient = torch.compile(gradient) if self.compiled else gradient

    def step(self) -> Tensor:
        at = self.taken % len(self.tokens)
        gradients, value = self.gradient(self.stacked, self.tokens[at], self.weights[at])
        squares = [g.flatten(1).square().sum(1) for g in gradients.values()]
        scale = ((self.cell.optimizer.clip or math.inf) / torch.stack(squares).sum(0).sqrt()).clamp(max=1.0)
        for name, g in gradients.items():
            self.stacked[name].grad = g * scale.view(-1, *[1] * (g.ndim - 1))
        self.update()
        return value


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def trainers(work: Work) -> Mapping[str, Callable[[], Trainer]]:
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("highest" if _device().type == "cpu" else "high")
    if work.core >= 0:
        torch.set_num_threads(1)
    return {
        "torch-eager": lambda: Single(work, compiled=False),
        "torch-compile": lambda: Single(work, compiled=True),
        "torch-vmap": lambda: Vmap(work, compiled=False),
        "torch-vmap-compile": lambda: Vmap(work, compiled=True),
    }


if __name__ == "__main__":
    serve(trainers)
