"""Predict text of one's own: bytes, or the tokens of a tokenizer, of files and folders.

References:
    Gao et al. (2020), "The Pile", arXiv 2101.00027, section 3.1 (bits per byte, to compare tokenizers).
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxemerge.inputs import contents
from jaxemerge.tasks.task import EvaluationSet, Example, Task, check_whole
from jaxemerge.tasks.tokenizer import decoded, encoded, tokenizer_from, vocabulary_of
from jaxemerge.types import Array, Int, Key

BYTES = "bytes"
_MOST_TOKENS = 2**31 - 1  # starts of windows are int32


@dataclass(frozen=True)
class Corpus(Task):
    """Windows of ``context`` tokens from a text, all tokens but the first learnt.

    ``Corpus("notes.txt", context=8)`` of a file that begins with ``to be or not``:

        116 111  32  98 101  32 111 114
          0   1   1   1   1   1   1   1

    Every window begins at a random place of the text for training; all places are equally likely. The end
    of every file, a share ``held_out`` of its tokens, is never trained on: the split ``held_out`` has up to
    ``windows`` windows of it, evenly spread and without overlap. They are scored by their loss
    (``answer_nll``, nats per token) and, to compare tokenizers, by ``bits_per_byte``: all nats of the scored
    tokens, over ln 2 and over the bytes of text that these tokens stand for. Parts of several files are laid
    end to end, in the order of the files; a window may reach from one into the next.

    The text is one array on each device, shared by all seeds, and an argument of the compiled program. Files
    are read when their text is first needed. A cell's identity holds their digests and not their paths.

    Attributes:
        path: a file, a folder (with all files below it, sorted by path; names that begin with a dot are left
            out), or a tuple of these.
        context: tokens per window, at least 2.
        level: ``bytes``, or the path of a tokenizer file (``tokenizer.json``), which the package
            ``tokenizers`` reads (``pip install 'jaxemerge[text]'``). Texts must then be UTF-8.
        held_out: share of every file's tokens that is held out, in (0, 1).
        windows: the largest number of held-out windows.
        limit: bytes of text that are used, counted from its beginning; 0 for all.

    Raises:
        ValueError: a field is out of range; the message says its value and what is allowed. When the text is
            first needed: no path is given, a file cannot be read or is empty, the text is shorter than a
            window, or the tokenizer cannot be read or does not cover the text.
    """

    path: str | tuple[str, ...] = ""
    context: int = 64
    level: str = BYTES
    held_out: float = 0.1
    windows: int = 256
    limit: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.path, list | tuple):
            object.__setattr__(self, "path", tuple(_path("path", each) for each in self.path))
        else:
            object.__setattr__(self, "path", _path("path", self.path))
        object.__setattr__(self, "level", _path("level", self.level))
        check_whole(self, 2, "context")
        check_whole(self, 1, "windows")
        check_whole(self, 0, "limit")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out={self.held_out}: must lie in (0, 1)")

    @property
    def files(self) -> tuple[str, ...]:
        """The text's files and folders, and the tokenizer's.

        Raises:
            ValueError: no path is given.
        """
        paths = (self.path,) if isinstance(self.path, str) else self.path
        if not all(paths) or not paths:
            raise ValueError("path is empty: name a file or folder of text, as in task.path=notes.txt")
        return paths if self.level == BYTES else (*paths, self.level)

    @property
    def vocabulary(self) -> int:
        return 256 if self.level == BYTES else vocabulary_of(_tokenizer(self.level, os.getcwd()))

    @property
    def min_length(self) -> int:
        return self.context

    @property
    def max_length(self) -> int:
        return self.context

    @property
    def data(self) -> tuple[Int[np.ndarray, " N"]]:
        """The text for training, one token after the other."""
        return (self._text.train,)

    def sample(self, key: Key, text: Int[Array, " N"] | None = None) -> Example:
        """Draws one window.

        Args:
            key: decides where it begins.
            text: ``data`` on the device; without it the text becomes a constant of the program.
        """
        tokens_N = jnp.asarray(self._text.train) if text is None else text
        start = jax.random.randint(key, (), 0, tokens_N.shape[0] - self.context + 1)
        window = jax.lax.dynamic_slice(tokens_N, (start,), (self.context,)).astype(jnp.int32)
        weights = (jnp.arange(self.context) > 0).astype(jnp.float32)
        return Example(window, weights, jnp.array(self.context))

    def evaluation_sets(self) -> tuple[EvaluationSet, ...]:
        text = self._text
        spare = len(text.held_out) - self.context
        count = min(self.windows, len(text.held_out) // self.context)
        starts = np.arange(count) * spare // max(count - 1, 1)
        places = starts[:, None] + np.arange(self.context)
        scored = np.broadcast_to(np.arange(self.context) > 0, places.shape)
        tokens = text.held_out[places].astype(np.int32)
        n_bytes = int(text.held_out_bytes[places[:, 1:]].sum())
        return (EvaluationSet("held_out", None, tokens, scored, text_bytes=n_bytes),)

    @property
    def _text(self) -> _Text:
        paths = self.files if self.level == BYTES else self.files[:-1]
        text = _read(paths, self.level, self.held_out, self.limit, os.getcwd())
        for part, tokens in (("training", text.train), ("the held-out split", text.held_out)):
            if len(tokens) < self.context:
                raise ValueError(
                    f"{_named(paths)}: {len(tokens)} tokens for {part} are fewer than context={self.context}"
                )
        return text


def _path(name: str, value: Any) -> str:
    try:
        return os.fspath(value)
    except TypeError:
        raise ValueError(f"{name}={value!r}: must be a path") from None


class _Text(NamedTuple):
    """A text in tokens.

    Attributes:
        train: tokens of all files but their ends, in the smallest type that holds the vocabulary.
        held_out: tokens of the files' ends.
        held_out_bytes: bytes of text that each of these stands for.
    """

    train: Int[np.ndarray, " N"]
    held_out: Int[np.ndarray, " M"]
    held_out_bytes: Int[np.ndarray, " M"]


@functools.lru_cache(maxsize=4)
def _tokenizer(path: str, folder: str) -> Any:
    del folder  # a relative path means another file in another folder
    return tokenizer_from(path)


@functools.lru_cache(maxsize=4)
def _read(paths: tuple[str, ...], level: str, held_out: float, limit: int, folder: str) -> _Text:
    """Reads, encodes and divides the text."""
    files = [file for path in paths for file in contents(path)]
    if not any(files):
        raise ValueError(f"{_named(paths)} is empty")
    kept = _limited(files, limit)
    if level == BYTES:
        parts = [(np.frombuffer(file, np.uint8), np.broadcast_to(np.int32(1), len(file))) for file in kept]
    else:
        tokenizer, last = _tokenizer(level, folder), len(kept) - 1
        whole = [i < last or len(kept[i]) == len(files[i]) for i in range(len(kept))]
        texts = [decoded(file, _named(paths), done) for file, done in zip(kept, whole, strict=True)]
        parts = [encoded(tokenizer, text, level) for text in texts]
    cuts = [len(tokens) - int(held_out * len(tokens)) for tokens, _ in parts]
    train = np.concatenate([tokens[:cut] for (tokens, _), cut in zip(parts, cuts, strict=True)])
    ends = [(tokens[cut:], sizes[cut:]) for (tokens, sizes), cut in zip(parts, cuts, strict=True)]
    if len(train) > _MOST_TOKENS:
        raise ValueError(f"{_named(paths)}: {len(train)} tokens are more than {_MOST_TOKENS}: set a limit")
    return _Text(train, *(np.concatenate(column) for column in zip(*ends, strict=True)))


def _limited(files: list[bytes], limit: int) -> list[bytes]:
    """The first ``limit`` bytes of the files one after the other; all where it is 0."""
    if not limit:
        return files
    kept, left = [], limit
    for file in files:
        if left > 0:
            kept.append(file[:left])
        left -= len(file)
    return kept


def _named(paths: tuple[str, ...]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
