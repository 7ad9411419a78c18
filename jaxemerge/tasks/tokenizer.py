"""Which tokens does a text become, and how many of its bytes does each stand for? Tokenizer files."""

from __future__ import annotations

import codecs
import importlib
import json
from typing import Any

import numpy as np

from jaxemerge.inputs import contents
from jaxemerge.types import Int


def tokenizer_from(path: str) -> Any:
    """Reads a tokenizer file; the whole of a text is encoded, without padding and special tokens.

    Raises:
        ValueError: the package ``tokenizers`` is missing, or the file cannot be read or is no tokenizer.
    """
    try:
        package = importlib.import_module("tokenizers")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"level={path!r}: must be 'bytes', or a tokenizer file, which needs the package tokenizers "
            "(pip install 'jaxemerge[text]')"
        ) from error
    try:
        content = contents(path)
    except ValueError as error:
        raise ValueError(f"level={path!r}: must be 'bytes' or a tokenizer file: {error}") from error
    try:
        found = package.Tokenizer.from_str(content[0].decode())
    except Exception as error:  # the package raises Exception itself
        reason = " ".join(str(error).split())
        raise ValueError(f"level={path!r}: {path} is no tokenizer file: {reason}") from error
    found.no_truncation()
    found.no_padding()
    return found


def vocabulary_of(tokenizer: Any) -> int:
    """Number of token ids, those without a token included."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def decoded(content: bytes, name: str, whole: bool) -> str:
    """The text of a file; where it is cut off, without the part of a character at its end.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not UTF-8 (byte {error.start}): use level='bytes', or convert it"
        ) from error


def encoded(tokenizer: Any, text: str, path: str) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Tokens of a text, and the bytes of text (UTF-8) that each stands for.

    A token stands for all bytes from the end of the one before it to its own end, spaces that a tokenizer
    skips included. Of several tokens within one character the first stands for its bytes.

    Args:
        tokenizer: as ``tokenizer_from`` returns it.
        text: of one file.
        path: of the tokenizer, for messages.

    Raises:
        ValueError: the tokenizer does not cover the text: tokens are unknown, or characters are dropped.
    """
    try:
        found = tokenizer.encode(text, add_special_tokens=False)
    except Exception as error:  # the package raises Exception itself
        raise ValueError(f"{path} cannot encode the text: {' '.join(str(error).split())}") from error
    tokens = np.array(found.ids, np.int64)
    spans = np.array(found.offsets, np.int64).reshape(-1, 2)
    _check_known(tokenizer, tokens, path)
    _check_covered(tokenizer, text, path)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    places = np.concatenate([[0], np.cumsum(sizes)])
    ends = np.maximum.accumulate(places[spans[:, 1]]) if len(spans) else np.zeros(0, np.int64)
    kind = np.int32 if vocabulary_of(tokenizer) > 2**16 else np.uint16
    return tokens.astype(kind), np.diff(ends, prepend=0).astype(np.int32)


def _check_known(tokenizer: Any, tokens: np.ndarray, path: str) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    name = model.get("unk_token")
    unknown = model.get("unk_id") if name is None else tokenizer.token_to_id(name)
    count = 0 if unknown is None else int((tokens == unknown).sum())
    if count:
        raise ValueError(
            f"{path} does not cover the text: {count} of {len(tokens)} tokens are unknown; use a tokenizer "
            "that was trained on such text, or one of bytes"
        )


def _check_covered(tokenizer: Any, text: str, path: str) -> None:
    dropped = [each for each in sorted(set(text)) if not each.isspace() and _drops(tokenizer, each)]
    if dropped:
        shown = ", ".join(map(repr, dropped[:5])) + (", ..." if len(dropped) > 5 else "")
        raise ValueError(
            f"{path} does not cover the text: it drops {shown}; use a tokenizer that was trained on such "
            "text, or one of bytes"
        )


def _drops(tokenizer: Any, character: str) -> bool:
    try:
        return not tokenizer.encode(character, add_special_tokens=False).ids
    except Exception:  # a word-level tokenizer may not know single letters
        return False
