"""How many bytes do the kernels of one training step move, and do devices talk to each other?

Read from the compiled program, one call of a kernel at a time. Counted: every operand once, every result
once, and of an operand or result that is only sliced or updated in place the part that is touched. Loops
count for every turn; a loop whose number of turns only the running program knows counts once.

Not counted: reading an operand again. The blocks of a matrix product and of a hand-written kernel each read
the weights, and the weight gradients read activations once per tile of the weights. These repeated reads are
taken to be served by the L2 cache, as are the scratch spaces of libraries. On the other hand, what one kernel
leaves in that cache for the next counts as if it came from memory. The sum is neither an upper nor a lower
bound of what goes to memory; it is close where a step's activations exceed the cache and its weights do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jaxemerge.training.hlo import Computation, Instruction, Module, arrays

# Instructions that name, order or select buffers without touching what is in them.
_FREE = {
    "add-dependency",
    "after-all",
    "bitcast",
    "constant",
    "domain",
    "get-tuple-element",
    "opt-barrier",
    "optimization-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
}
_PARTIAL = {"slice", "dynamic-slice", "gather"}  # these read as much of their first operand as they return
_COLLECTIVES = {
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "recv",
    "reduce-scatter",
    "send",
}


@dataclass(frozen=True)
class Kernel:
    """A piece of work that the device is given as a whole.

    Attributes:
        name: of its instruction.
        kind: opcode, kind of fusion, or what a custom call calls.
        bytes: read and written by one call.
        times: calls per step.
        shape: of its result.
        source: operation of the traced program that it comes from.
    """

    name: str
    kind: str
    bytes: int
    times: int
    shape: str
    source: str

    @property
    def moved(self) -> int:
        """Bytes per step."""
        return self.bytes * self.times


def step_kernels(module: Module) -> list[Kernel]:
    """Kernels of one step, those of loops within it as often as they run.

    The step is the body of the loop whose length is an argument of the program.

    Raises:
        ValueError: the program has no such loop.
    """
    bodies = [loop.called("body") for loop in _open_loops(module, module.entry)]
    if not bodies:
        raise ValueError("no training program: it has no loop whose length is an argument")
    return max(([*kernels(module, body)] for body in bodies), key=total)


def total(found: Sequence[Kernel]) -> int:
    """Bytes of kernels together."""
    return sum(kernel.moved for kernel in found)


def kernels(module: Module, computation: str) -> Iterator[Kernel]:
    """Kernels of a computation and of what it calls, in their order."""
    of = module.computations[computation]
    for each in of.values():
        if each.opcode == "while":
            turns = 1 if each.turns is None else each.turns
            for kernel in kernels(module, each.called("body")):
                yield replace(kernel, times=turns * kernel.times)
        elif each.opcode == "conditional":
            yield from max(([*kernels(module, branch)] for branch in each.branches), key=total)
        elif each.opcode in ("call", "async-start"):
            yield from kernels(module, each.called("to_apply") or each.called("calls"))
        elif each.opcode not in _FREE and not each.opcode.endswith(("-done", "-update")):
            yield Kernel(each.name, _kind(each), _bytes(module, of, each), 1, each.shape, each.source)


def collectives(module: Module) -> list[Instruction]:
    """Instructions by which devices exchange data, wherever they stand in the program."""
    return [each for each in module.instructions() if each.opcode.removesuffix("-start") in _COLLECTIVES]


def _open_loops(module: Module, computation: str) -> Iterator[Instruction]:
    """Outermost loops of unknown length."""
    for each in module.computations[computation].values():
        if each.opcode == "while" and each.turns is None:
            yield each
        elif each.opcode in ("while", "call", "conditional"):
            inner = (each.called("body"), each.called("to_apply"), *each.branches)
            for name in filter(None, inner):
                yield from _open_loops(module, name)


def _kind(each: Instruction) -> str:
    if each.opcode == "custom-call":
        return each.target
    return f"fusion {each.generator or each.called('kind')}" if each.opcode == "fusion" else each.opcode


def _bytes(module: Module, of: Computation, each: Instruction) -> int:
    """What a kernel reads and writes."""
    if each.opcode == "fusion":
        return _fusion_bytes(module, of, each)
    if each.opcode.endswith("-start"):
        return _start_bytes(of, each)
    if each.opcode == "dynamic-update-slice":  # in place
        return 2 * of[each.operands[1]].size
    if each.opcode in _PARTIAL:
        return 2 * each.size
    return sum(of[name].size for name in each.operands) + _written(each)


def _start_bytes(of: Computation, each: Instruction) -> int:
    """Both ends of a transfer: its result holds them both, but for a reduction's, which has the new one."""
    found = [*arrays(each.shape)]
    if each.opcode == "copy-start":
        return found[0] + found[1]
    if each.opcode == "slice-start":  # what is cut out, where it comes from and where it goes
        part = [*arrays(each.shape, anywhere=True)][1]
        return part * ((found[0] > 0) + (found[1] > 0))
    return max(sum(found), 2 * sum(of[name].size for name in each.operands))


def _written(each: Instruction) -> int:
    """Bytes of results; a matrix product's scratch space, its last result, is left out."""
    found = [*arrays(each.shape)]
    scratch = each.target.startswith("__cublas") and each.shape.startswith("(")
    return sum(found[:-1] if scratch else found)


def _fusion_bytes(module: Module, of: Computation, fusion: Instruction) -> int:
    """What a fusion reads and writes: parts of some operands are enough, some results change in place."""
    inside = module.computations[fusion.called("calls")]
    users: dict[str, list[Instruction]] = {name: [] for name in inside}
    for each in inside.values():
        for name in set(each.operands):
            users[name].append(each)
    read = 0
    for each in inside.values():
        if each.opcode == "parameter":
            whole = of[fusion.operands[int(each.arguments)]].size
            read += min(whole, _read(users, each.name, whole))
    [root] = [each for each in inside.values() if each.root]
    return read + min(fusion.size, _result_bytes(inside, root))


def _read(users: dict[str, list[Instruction]], name: str, whole: int) -> int:
    """Bytes of a value that its users within a fusion need."""
    needed = 0
    for user in users[name]:
        first = user.operands[0] == name and name not in user.operands[1:]
        if user.opcode in _PARTIAL and first:
            needed += user.size
        elif user.opcode == "bitcast":
            needed += _read(users, user.name, whole)
        elif not (user.opcode == "dynamic-update-slice" and first):
            return whole
    return needed


def _result_bytes(inside: Computation, value: Instruction) -> int:
    """Bytes that are written for a fusion's result."""
    if value.opcode == "tuple":
        return sum(_result_bytes(inside, inside[name]) for name in value.operands)
    if value.opcode == "bitcast":
        return _result_bytes(inside, inside[value.operands[0]])
    if value.opcode == "dynamic-update-slice":
        return inside[value.operands[1]].size
    return value.size
