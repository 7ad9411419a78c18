"""Are bytes, kernels and collectives read from a program's text as its instructions have them?"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxemerge.devices import Layout, over_seeds
from jaxemerge.training.compiled import compiled_training
from jaxemerge.training.hlo import Module, arrays, instruction, parse, size
from jaxemerge.training.traffic import collectives, kernels, step_kernels, total
from small_cell import CELL

# What is compiled is to be what users run.
pytestmark = pytest.mark.usefixtures("full_optimization")

# A program whose step has one kernel of each sort. Sizes are primes, so that no two sums agree by chance.
PROGRAM = """
HloModule jit_advance, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias) }

%scaled (param_0.1: f32[7,11], param_1.1: f32[11]) -> f32[7,11] {
  %param_0.1 = f32[7,11]{1,0} parameter(0)
  %param_1.1 = f32[11]{0} parameter(1)
  %broadcast.1 = f32[7,11]{1,0} broadcast(%param_1.1), dimensions={1}
  ROOT %multiply.1 = f32[7,11]{1,0} multiply(%param_0.1, %broadcast.1)
}

%row_put (param_0.2: f32[13,11], param_1.2: f32[7,11], param_2.2: s32[]) -> (f32[13,11], bf16[11]) {
  %param_2.2 = s32[] parameter(2)
  %param_0.2 = f32[13,11]{1,0} parameter(0)
  %param_1.2 = f32[7,11]{1,0} parameter(1)
  %zero.2 = s32[] constant(0)
  %row.2 = f32[1,11]{1,0} dynamic-slice(%param_1.2, %param_2.2, %zero.2), dynamic_slice_sizes={1,11}
  %flat.2 = f32[11]{0} bitcast(%row.2)
  %put.2 = f32[13,11]{1,0} dynamic-update-slice(%param_0.2, %row.2, %param_2.2, %zero.2)
  %small.2 = bf16[11]{0} convert(%flat.2)
  ROOT %tuple.2 = (f32[13,11]{1,0}, bf16[11]{0}) tuple(%put.2, %small.2)
}

%inner_body (inner: (s32[], f32[7,11])) -> (s32[], f32[7,11]) {
  %inner = (s32[], f32[7,11]{1,0}) parameter(0)
  %i.3 = s32[] get-tuple-element(%inner), index=0
  %x.3 = f32[7,11]{1,0} get-tuple-element(%inner), index=1
  %copy.3 = f32[7,11]{0,1} copy(%x.3)
  ROOT %tuple.3 = (s32[], f32[7,11]{0,1}) tuple(%i.3, %copy.3)
}

%inner_condition (inner.4: (s32[], f32[7,11])) -> pred[] {
  %inner.4 = (s32[], f32[7,11]{1,0}) parameter(0)
  %i.4 = s32[] get-tuple-element(%inner.4), index=0
  %five.4 = s32[] constant(5)
  ROOT %less.4 = pred[] compare(%i.4, %five.4), direction=LT
}

%cheap (param.5: f32[7,11]) -> f32[7] {
  %param.5 = f32[7,11]{1,0} parameter(0)
  ROOT %slice.5 = f32[7]{0} slice(%param.5), slice={[0:7], [0:1]}
}

%dear (param.6: f32[7,11]) -> f32[7] {
  %param.6 = f32[7,11]{1,0} parameter(0)
  %negative.6 = f32[7,11]{1,0} negate(%param.6)
  ROOT %slice.6 = f32[7]{0} slice(%negative.6), slice={[0:7], [0:1]}
}

%buffer (param.7: f32[7,11]) -> f32[7,11] {
  %param.7 = f32[7,11]{1,0} parameter(0)
  ROOT %negative.7 = f32[7,11]{1,0} negate(%param.7)
}

%step (carry: (s32[], s32[], f32[7,11], f32[11], f32[13,11])) -> (s32[], s32[], f32[7,11], f32[11], f32[13,11]) {
  %carry = (s32[], s32[], f32[7,11]{1,0}, f32[11]{0}, /*index=4*/f32[13,11]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%carry), index=0
  %stop = s32[] get-tuple-element(%carry), index=1
  %x = f32[7,11]{1,0} get-tuple-element(%carry), index=2
  %scale = f32[11]{0} get-tuple-element(%carry), index=3
  %table = f32[13,11]{1,0} get-tuple-element(%carry), index=4
  %fused = f32[7,11]{1,0} fusion(%x, %scale), kind=kLoop, calls=%scaled, metadata={op_name="a (b) c = d"}
  %put = (f32[13,11]{1,0}, bf16[11]{0}) fusion(%table, %fused, %i), kind=kCustom, calls=%row_put, backend_config={"fusion_backend_config":{"kind":"__triton"}}
  %table.1 = f32[13,11]{1,0} get-tuple-element(%put), index=0
  %start = (f32[7,11]{1,0}, f32[7,11]{1,0}, u32[]) copy-start(%fused)
  %product = (f32[7,7]{1,0}, s8[4194304]{0}) custom-call(%fused, %x), custom_call_target="__cublas$gemm"
  %attention = (bf16[7,11]{1,0}, u8[17]{0}) custom-call(%fused), custom_call_target="__cudnn$fmhaSoftmax"
  %moved = f32[7,11]{1,0} copy-done(%start)
  %loop_in = (s32[], f32[7,11]{1,0}) tuple(%i, %moved)
  %loop = (s32[], f32[7,11]{1,0}) while(%loop_in), condition=%inner_condition, body=%inner_body, backend_config={"known_trip_count":{"n":"5"}}
  %looped = f32[7,11]{1,0} get-tuple-element(%loop), index=1
  %either = f32[7]{0} conditional(%i, %looped, %looped), branch_computations={%cheap, %dear}
  %called = f32[7,11]{1,0} call(%looped), to_apply=%buffer
  ROOT %out = (s32[], s32[], f32[7,11]{1,0}, f32[11]{0}, f32[13,11]{1,0}) tuple(%i, %stop, %called, %scale, %table.1)
}

%go_on (carry.8: (s32[], s32[], f32[7,11], f32[11], f32[13,11])) -> pred[] {
  %carry.8 = (s32[], s32[], f32[7,11]{1,0}, f32[11]{0}, f32[13,11]{1,0}) parameter(0)
  %i.8 = s32[] get-tuple-element(%carry.8), index=0
  %stop.8 = s32[] get-tuple-element(%carry.8), index=1
  ROOT %less.8 = pred[] compare(%i.8, %stop.8), direction=LT
}

ENTRY %main (x: f32[7,11], scale: f32[11], table: f32[13,11], start: s32[], stop: s32[]) -> f32[7,11] {
  %x.9 = f32[7,11]{1,0} parameter(0)
  %scale.9 = f32[11]{0} parameter(1)
  %table.9 = f32[13,11]{1,0} parameter(2)
  %start.9 = s32[] parameter(3)
  %stop.9 = s32[] parameter(4)
  %before = f32[7,11]{1,0} copy(%x.9)
  %in = (s32[], s32[], f32[7,11]{1,0}, f32[11]{0}, f32[13,11]{1,0}) tuple(%start.9, %stop.9, %before, %scale.9, %table.9)
  %steps = (s32[], s32[], f32[7,11]{1,0}, f32[11]{0}, f32[13,11]{1,0}) while(%in), condition=%go_on, body=%step
  ROOT %result = f32[7,11]{1,0} get-tuple-element(%steps), index=2
}
"""  # noqa: E501 - lines as XLA prints them
X, ROW = 7 * 11 * 4, 11 * 4
EXPECTED = {
    "fused": (X + ROW + X, 1),
    # Reads the row, not the table it goes into nor the rest; writes the row and its bfloat16 copy.
    "put": (ROW + 4 + ROW + 22, 1),
    "start": (2 * X, 1),
    "product": (X + X + 7 * 7 * 4, 1),  # without the scratch space
    "attention": (X + 7 * 11 * 2 + 17, 1),
    "copy.3": (2 * X, 5),
    "negative.6": (2 * X, 1),  # the dearer of two branches
    "slice.6": (2 * 7 * 4, 1),
    "negative.7": (2 * X, 1),
}


@functools.cache
def module() -> Module:
    return parse(PROGRAM)


def test_each_kernel_of_a_step_moves_what_it_reads_and_writes() -> None:
    found = step_kernels(module())
    assert {kernel.name: (kernel.bytes, kernel.times) for kernel in found} == EXPECTED
    assert total(found) == sum(size * times for size, times in EXPECTED.values())


def test_kernels_are_told_apart_by_what_they_are() -> None:
    kinds = {kernel.name: kernel.kind for kernel in step_kernels(module())}
    assert kinds["fused"] == "fusion kLoop"
    assert kinds["product"] == "__cublas$gemm"
    assert kinds["put"] == "fusion __triton"
    assert kinds["copy.3"] == "copy"
    [fused] = [kernel for kernel in step_kernels(module()) if kernel.name == "fused"]
    assert (fused.source, fused.shape) == ("a (b) c = d", "f32[7,11]{1,0}")


def test_what_comes_before_the_loop_is_no_part_of_a_step() -> None:
    assert next(kernel.name for kernel in kernels(module(), "main")) == "before"
    assert "before" not in {kernel.name for kernel in step_kernels(module())}


def test_the_step_is_found_within_the_loop_over_seeds() -> None:
    outer = PROGRAM.replace("ENTRY %main", "%seed").replace("%main", "%seed")
    outer += """
ENTRY %all (x: f32[7,11]) -> f32[7,11] {
  %x = f32[7,11]{1,0} parameter(0)
  ROOT %s = f32[7,11]{1,0} while(%x), condition=%c, body=%seed, backend_config={"known_trip_count":{"n":"3"}}
}
"""
    assert step_kernels(parse(outer)) == step_kernels(module())


def test_turns_of_loops() -> None:
    for known, times in (('{"known_trip_count":{"n":"0"}}', 0), ('{"known_trip_count":{"n":"7"}}', 7)):
        text = PROGRAM.replace('{"known_trip_count":{"n":"5"}}', known)
        assert {kernel.name: kernel.times for kernel in step_kernels(parse(text))}["copy.3"] == times
    unknown = parse(PROGRAM.replace(', backend_config={"known_trip_count":{"n":"5"}}', ""))
    assert {kernel.name: kernel.times for kernel in kernels(unknown, "step")}["copy.3"] == 1


def test_a_fusion_that_also_reads_all_of_an_operand_is_charged_for_all() -> None:
    needs_all = PROGRAM.replace("bitcast(%row.2)", "reduce(%param_1.2)")
    [put] = [kernel for kernel in step_kernels(parse(needs_all)) if kernel.name == "put"]
    assert put.bytes == X + 4 + ROW + 22


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("f32[]", [4]),
        ("pred[3]{0}", [3]),
        ("bf16[2,3]{1,0}", [12]),
        ("f8e4m3fn[5]{0}", [5]),
        ("s4[6]{0:E(4)}", [3]),
        ("f32[<=5,2]{1,0}", [40]),
        ("c64[2]{0}", [16]),
        ("token[]", [0]),
        ("(f32[2]{0}, (u8[3]{0}, /*index=1*/s64[1]{0}))", [8, 3, 8]),
        ("bf16[8,128]{1,0:T(8,128)(2,1)}", [2048]),
        ("bf16[3,9,64]{2,1,0:T(8,128)(2,1)}", [3 * 16 * 128 * 2]),  # padded to whole tiles
        ("bf16[3,9,64]{0,2,1:T(8,128)}", [128 * 9 * 64 * 2]),  # the first axis is innermost
        ("bf16[8,128]{1,0:T(8,128)(2,1)S(1)}", [0]),  # on the chip itself
        ("f32[8]{0:T(128)S(0)}", [512]),
    ],
)
def test_sizes_of_shapes(shape: str, expected: list[int]) -> None:
    assert [*arrays(shape)] == expected
    assert size(shape) == sum(expected)


def test_lines_that_hold_no_instruction() -> None:
    for line in ("", "}", "HloModule x", "  // a comment"):
        assert instruction(line) is None


def test_a_text_that_is_no_program_is_refused() -> None:
    with pytest.raises(ValueError, match="has no ENTRY computation"):
        parse("HloModule nothing")
    straight = "ENTRY %main (x: f32[2]) -> f32[2] {\n  ROOT %x = f32[2]{0} parameter(0)\n}\n"
    with pytest.raises(ValueError, match="no loop whose length is an argument"):
        step_kernels(parse(straight))


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        ("%a = f32[5]{0} all-reduce(%x), to_apply=%sum", 40),
        ("%a = f32[5]{0} all-reduce-start(%x), to_apply=%sum", 40),
        ("%a = (f32[5]{0}, f32[15]{0}) all-gather-start(%x), dimensions={0}", 80),
        ("%a = (f32[5]{0}, f32[5]{0}) collective-permute-start(%x), source_target_pairs={{0,1}}", 40),
    ],
)
def test_collectives_are_seen(line: str, moved: int) -> None:
    text = f"ENTRY %main (x: f32[5]) -> f32[5] {{\n  %x = f32[5]{{0}} parameter(0)\n  {line}\n}}\n"
    found = parse(text)
    assert [each.name for each in collectives(found)] == ["a"]
    assert [kernel.bytes for kernel in kernels(found, "main")] == [moved]


@pytest.mark.parametrize(
    ("line", "moved"),
    [
        ("%a = (f32[5]{0}, f32[5]{0}, u32[]) copy-start(%x)", 40),
        ("%a = (f32[5]{0:S(1)}, f32[5]{0}, u32[]{:S(2)}) copy-start(%x)", 20),  # from memory into the chip
        ("%a = ((f32[5]{0}), f32[3]{0:S(1)}, s32[]{:S(2)}) slice-start(%x), slice={[0:3]}", 12),
        ("%a = ((f32[5]{0:S(1)}), f32[3]{0}, s32[]{:S(2)}) slice-start(%x), slice={[0:3]}", 12),
        ("%a = ((f32[5]{0}), f32[3]{0}, s32[]) slice-start(%x), slice={[0:3]}", 24),
    ],
)
def test_a_transfer_counts_at_its_ends_in_main_memory(line: str, moved: int) -> None:
    text = f"ENTRY %main (x: f32[5]) -> f32[5] {{\n  %x = f32[5]{{0}} parameter(0)\n  {line}\n}}\n"
    assert [kernel.bytes for kernel in kernels(parse(text), "main")] == [moved]


def test_seeds_on_several_devices_do_not_talk_to_each_other() -> None:
    devices = tuple(jax.devices()[:2])
    assert len(devices) == 2
    done = compiled_training(CELL, Layout(devices, 1), 6)
    assert "num_partitions=2" in done.text
    assert collectives(parse(done.text)) == []


def test_a_sum_over_devices_is_seen_to_talk() -> None:
    mesh = Mesh(jax.devices()[:2], ("seed",))
    inputs = jax.ShapeDtypeStruct((4, 3), jnp.float32, sharding=NamedSharding(mesh, P("seed")))
    text = jax.jit(lambda x: x - jnp.mean(x, axis=0, keepdims=True)).lower(inputs).compile().as_text()
    assert collectives(parse(text)) != []


def rows_of_product(x: jax.Array, weights: jax.Array, row: jax.Array) -> tuple[jax.Array, ...]:
    """Reads and changes some rows of an array: kernels that need but a part of their operands."""
    hidden = jnp.tanh(x @ weights) + 1
    some = 2 * jax.lax.dynamic_slice_in_dim(x, row, 3)
    changed = jax.lax.dynamic_update_slice_in_dim(x, some, 0, axis=0)
    return jnp.sum(some, axis=0), jnp.where(hidden > 0, hidden, 0.5), changed


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (rows_of_product, [(37, 64), (64, 41), ()]),
        (lambda a, b: jnp.sort(a + b, axis=0), [(53, 7), (53, 7)]),
        (lambda a, b: (a @ b) @ a, [(53, 53), (53, 53)]),
    ],
)
def test_bytes_are_those_that_xla_counts_itself(function: Any, shapes: list[tuple[int, ...]]) -> None:
    """XLA's own analysis, which there is for host code alone."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32 if shape else jnp.int32) for shape in shapes]
    done = jax.jit(function).lower(*inputs).compile()
    module = parse(done.as_text())
    expected = done.cost_analysis()["bytes accessed"]
    assert total([*kernels(module, module.entry)]) == pytest.approx(expected, rel=1e-3)


def test_a_compiled_loop_moves_what_it_must() -> None:
    """Host code: per step one product of 64 x 64 matrices, which reads two and writes one."""
    layout = Layout(tuple(jax.devices()[:1]), 1)

    def advance(x: jax.Array, stop: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, stop, lambda i, x: x @ x, x)

    inputs = jax.ShapeDtypeStruct((3, 64, 64), jnp.float32, sharding=layout.sharding)
    text = over_seeds(advance, layout, shared=1).lower(inputs, 5).compile().as_text()
    matrix = 64 * 64 * 4
    # x is read twice where both operands are counted; the counter and what copies the host adds are little.
    assert 2 * matrix <= total(step_kernels(parse(text))) <= 5.1 * matrix
