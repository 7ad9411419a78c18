"""How are weights saved? As safetensors: named arrays and nothing else; reading them runs no code.

The metadata of a file describe it, and hold a digest of the description, names and contents.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxemerge.files import DamagedError, check_digest, read_sealed, write_bytes
from jaxemerge.types import Params

_ABOUT, _DIGEST = "jaxemerge", "sha256"
CONFIG = "config.json"  # of an export: names the files of its members
FORMAT = 1
_MEMBER = re.compile(r"seed-\d+(-\d+)?\.safetensors")


def named(params: Params) -> dict[str, np.ndarray]:
    """Arrays by name: the keys that lead to each, with dots between them.

    Raises:
        ValueError: two arrays would have the same name.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    found = {_name(path): np.asarray(leaf, order="C") for path, leaf in leaves}
    if len(found) < len(leaves):
        raise ValueError("weights: two arrays have the same name; use keys without dots")
    return found


def unnamed(arrays: Mapping[str, np.ndarray], template: Params) -> Params:
    """A tree of weights like ``template``, whose leaves are arrays or their shapes.

    Raises:
        ValueError: an array is missing, not known, or of another shape or type.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    expected = {_name(path): leaf for path, leaf in leaves}
    for name in [*expected, *arrays]:
        seen, wanted = (_described(found.get(name)) for found in (arrays, expected))
        if seen != wanted:
            raise ValueError(f"weights: {name} is {seen}, and the model's is {wanted}")
    return jax.tree.unflatten(structure, [arrays[name] for name in expected])


def _described(array: Any) -> str:
    return "missing" if array is None else f"{array.dtype}{list(array.shape)}"


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


KeepAt = str | Sequence[int]  # "log", or steps


def kept_steps(asked: KeepAt, steps: int) -> tuple[int, ...]:
    """Increasing steps at which weights are kept; of ``log`` 0, the powers of 2, and the last step.

    Raises:
        ValueError: a step lies outside of training, or the text is not ``log``.
    """
    if isinstance(asked, str):
        if asked != "log":
            raise ValueError(f"keep_weights_at={asked!r}: must be 'log' or a list of steps")
        return (0, *(2**i for i in range(steps.bit_length()) if 2**i < steps), steps)
    if not isinstance(asked, Iterable):
        raise ValueError(f"keep_weights_at={asked!r}: must be 'log' or a list of steps, as in [{asked!r}]")
    for step in asked:
        if not float(step).is_integer():
            raise ValueError(f"keep_weights_at: step {step} must be a whole number")
        if not 0 <= step <= steps:
            raise ValueError(f"keep_weights_at: step {step} must lie between 0 and steps={steps}")
    return tuple(sorted({int(step) for step in asked}))


def write_weights(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Writes arrays and what is to be known about them, whole or not at all."""
    from safetensors.numpy import save  # not needed to train

    text = json.dumps(about, allow_nan=False)
    metadata = {_ABOUT: text, _DIGEST: _digest(arrays, text)}
    write_bytes(path, _sorted(save(dict(arrays), metadata)))


def _sorted(content: bytes) -> bytes:
    """A file of safetensors with its metadata in order: equal weights are equal files.

    It begins with the length of a header in JSON, padded to a multiple of 8 bytes.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    metadata = {"__metadata__": dict(sorted(header.pop("__metadata__").items()))}
    text = json.dumps(metadata | header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What ``write_weights`` wrote.

    Raises:
        DamagedError: the file is missing, is no file of safetensors, is not from here, or has changed.
    """
    from safetensors import SafetensorError, safe_open  # as above

    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise DamagedError(f"{path} holds no weights: {' '.join(str(error).split())}") from error
    if _ABOUT not in metadata:
        raise DamagedError(f"{path} was not written by jaxemerge: it does not say what it holds")
    if metadata.get(_DIGEST) != _digest(arrays, metadata[_ABOUT]):
        raise DamagedError(f"{path} is damaged: its content does not match its digest")
    return arrays, json.loads(metadata[_ABOUT])


def member_files(path: Path) -> list[Path]:
    """The files of an exported folder, each checked against its digest; or the one file that is named.

    Raises:
        DamagedError: it is no export, or a file has changed.
    """
    if path.is_file():
        return [path]
    if not (path / CONFIG).is_file():
        raise DamagedError(f"{path} is no export: there is no {CONFIG} in it")
    config = read_sealed(path / CONFIG)
    if config.get("format") != FORMAT:
        raise DamagedError(
            f"{path} is an export of format {config.get('format')}; this version reads {FORMAT}"
        )
    for name, expected in config["members"].items():
        if not _MEMBER.fullmatch(name):
            raise DamagedError(f"{path}: {CONFIG} names a member {name!r}, which is no name of its file")
        check_digest(path / name, expected)
    return [path / name for name in config["members"]]


def _digest(arrays: Mapping[str, np.ndarray], about: str) -> str:
    """Of names, types, shapes and bytes, and of what is said of them."""
    found = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype}{list(array.shape)} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()
