"""What is in a compiled program? Its text in XLA's HLO language, taken apart into instructions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_BITS = re.compile(r"\D+?(\d+)")  # the number of bits in a type's name, as in f32 or f8e4m3fn
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,<=]*)\](\{[^{}]*\})?")
_TILE = re.compile(r"^\{([\d,]+):T\(([\d,]+)\)")
_OUTSIDE = re.compile(r"S\((?!0\))\d+\)")  # memory space other than the main one, as a TPU's on-chip memory
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_NAME = re.compile(r"%([\w.\-]+)")


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
        name: unique in its module.
        shape: type and dimensions of its result, a tuple in parentheses.
        opcode: what it does, as ``fusion`` or ``custom-call``.
        arguments: what stands in its parentheses: its operands, or the number of a parameter.
        attributes: the rest of its line.
        root: whether its result is that of the computation.
    """

    name: str
    shape: str
    opcode: str
    arguments: str
    attributes: str
    root: bool = False

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the instructions whose results it takes."""
        return tuple(_NAME.findall(self.arguments))

    @property
    def size(self) -> int:
        """Bytes of its result in the device's main memory."""
        return size(self.shape)

    @property
    def target(self) -> str:
        """Name of what a custom call calls; empty for other instructions."""
        return self._attribute(r'custom_call_target="([^"]*)"')

    @property
    def generator(self) -> str:
        """What writes a fusion's code, as ``__triton``, where its kind alone does not say."""
        return self._attribute(r'"fusion_backend_config":\{"kind":"([^"]*)"')

    @property
    def source(self) -> str:
        """The operation of the traced program that it comes from."""
        return self._attribute(r'op_name="([^"]*)"')

    @property
    def turns(self) -> int | None:
        """Iterations of a loop; None where only the running program knows."""
        found = self._attribute(r'"known_trip_count":\{"n":"(\d+)"')
        return int(found) if found else None

    def called(self, role: str) -> str:
        """Name of the computation that it calls as ``role``, such as ``body``; empty if there is none."""
        return self._attribute(rf"\b{role}=%?([\w.\-]+)")

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the computations that a conditional chooses from."""
        listed = self._attribute(r"branch_computations=\{([^}]*)\}")
        either = [self.called("true_computation"), self.called("false_computation")]
        return tuple(_NAME.findall(listed)) or tuple(filter(None, either))

    def _attribute(self, pattern: str) -> str:
        found = re.search(pattern, self.attributes)
        return found.group(1) if found else ""


Computation = Mapping[str, Instruction]  # by name, in the order of execution


@dataclass(frozen=True)
class Module:
    """A compiled program.

    Attributes:
        computations: by name.
        entry: name of the one that is run.
    """

    computations: Mapping[str, Computation]
    entry: str

    def instructions(self) -> Iterator[Instruction]:
        """Those of all computations."""
        for computation in self.computations.values():
            yield from computation.values()


def parse(text: str) -> Module:
    """Takes the text of a compiled program apart.

    Args:
        text: as from ``jax.stages.Compiled.as_text``.

    Raises:
        ValueError: it has no entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            current = computations.setdefault(header.group(2), {})
            entry = header.group(2) if header.group(1) else entry
        elif current is not None:
            found = instruction(line)
            if found:
                current[found.name] = found
    if not entry:
        raise ValueError("the text is not that of a compiled program: it has no ENTRY computation")
    return Module(computations, entry)


def instruction(line: str) -> Instruction | None:
    """The instruction of a line; None where it has none."""
    start = _INSTRUCTION.match(line)
    if not start:
        return None
    rest = line[start.end() :]
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    opcode, parenthesis, _ = rest[end + 1 :].partition("(")
    if not parenthesis:
        return None
    opening = end + 1 + len(opcode)
    closing = _closing(rest, opening)
    arguments, attributes = rest[opening + 1 : closing], rest[closing + 1 :]
    return Instruction(start.group(2), rest[:end], opcode, arguments, attributes, bool(start.group(1)))


def _closing(text: str, opening: int) -> int:
    """Where the parenthesis that opens at ``opening`` closes."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"unbalanced parentheses: {text[:80]}")


def size(shape: str) -> int:
    """Bytes of an array, or of a tuple's arrays together, in the device's main memory."""
    return sum(arrays(shape))


def arrays(shape: str, *, anywhere: bool = False) -> Iterator[int]:
    """Bytes of each array of a shape, 0 for those outside the main memory unless they count ``anywhere``."""
    for kind, dimensions, layout in _ARRAY.findall(shape):
        sizes = [int(n.lstrip("<=")) for n in dimensions.split(",") if n]
        numbers = math.prod(_padded(sizes, layout))
        outside = _OUTSIDE.search(layout) and not anywhere
        yield 0 if outside else numbers * _bits(kind) // 8


def _padded(sizes: Sequence[int], layout: str) -> list[int]:
    """Dimensions as a TPU stores them: the innermost ones are padded to whole tiles, as of 8 x 128."""
    tile = _TILE.search(layout)
    if tile is None or not sizes:
        return [*sizes]
    inner = [int(axis) for axis in tile.group(1).split(",")]  # innermost first
    edges = [int(edge) for edge in tile.group(2).split(",")][::-1]
    padded = [*sizes]
    for axis, edge in zip(inner, edges, strict=False):
        padded[axis] = -(-sizes[axis] // edge) * edge
    return padded


def _bits(kind: str) -> int:
    if kind == "pred":
        return 8
    found = _BITS.match(kind)
    return int(found.group(1)) if found else 0  # tokens and opaque values hold nothing
