"""Are the chips that programs are compiled for described in full, and consistently?"""

from __future__ import annotations

import re

import pytest

from jaxemerge.training.chips import CHIPS, chip_named


def number(target: str, field: str) -> float:
    [found] = re.findall(rf"\b{field}: ([\d.]+)", target)
    return float(found)


def test_names_and_platforms() -> None:
    assert {name: chip.platform for name, chip in CHIPS.items()} == {
        "h100": "gpu",
        "h200": "gpu",
        "a100": "gpu",
        "tpu-v5e": "tpu",
        "tpu-v6e": "tpu",
    }
    assert all(chip_named(name).name == name for name in CHIPS)
    with pytest.raises(ValueError, match=r"chip 'v100': must be one of h100, h200, a100, tpu-v5e, tpu-v6e"):
        chip_named("v100")


@pytest.mark.parametrize("name", ["h100", "h200", "a100"])
def test_what_xla_is_told_of_a_gpu_agrees_with_the_table(name: str) -> None:
    """Peaks follow from clock and cores: 1024 products per core and clock of Ampere, 2048 of Hopper."""
    chip = chip_named(name)
    assert number(chip.target, "device_memory_size") == chip.memory
    assert number(chip.target, "memory_bandwidth") == chip.bandwidth
    per_clock = {8: 1024, 9: 4096 // 2}[int(re.findall(r"\{ major: (\d+)", chip.target)[0])]
    by_clock = 2 * per_clock * number(chip.target, "core_count") * number(chip.target, "clock_rate_ghz") * 1e9
    # Datasheets have the matrix units of Hopper at 1.83 GHz, below the highest clock.
    assert 0.9 <= chip.bfloat16 / by_clock <= 1.01
    assert chip.float32 == chip.bfloat16 / 2
    assert chip.label in chip.target


@pytest.mark.parametrize("name", CHIPS)
def test_numbers_are_those_of_one_chip(name: str) -> None:
    chip = chip_named(name)
    assert 15e9 < chip.memory < 200e9
    assert 0.5e12 < chip.reached < chip.bandwidth < 1e13
    assert chip.peak("float32") == chip.float32 <= chip.peak("bfloat16") < 1.2e15
    # A chip needs some hundred operations per byte to be busy; ten times fewer or more would be a slip.
    assert 100 < chip.bfloat16 / chip.bandwidth < 600
