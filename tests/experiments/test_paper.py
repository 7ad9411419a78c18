"""The paper's recipe: bfloat16 in the large count studies only, and cells that are found without Polars."""

import pytest

import paper
from studies import STUDIES

LARGE = ("count_fixed_depth", "count_fixed_width", "count_fixed_parameters", "depth_or_width", "init_or_data")


@pytest.mark.parametrize("name", LARGE)
def test_large_versions_compute_in_bfloat16_and_quick_ones_in_float32(name):
    assert {cell.model.dtype for cell in STUDIES[name].cells(quick=False)} == {"bfloat16"}
    assert {cell.model.dtype for cell in STUDIES[name].cells(quick=True)} == {"float32"}


def test_cells_by_name_are_those_of_the_studies():
    studies = [cell for name in LARGE[:3] for cell in STUDIES[name].cells(quick=False)]
    for cell in studies:
        found = paper.cell(f"{cell.model.depth}x{cell.model.width}")
        assert found.cell == cell.cell
        assert (found.steps, found.batch, found.context) == (10_000, 128, 256)
    assert paper.cell("4x64") in studies
    assert paper.cell("16x128").study == "count_fixed_parameters"


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match=r"^cell '5x5': must be one of 4x64, 4x128, 4x256"):
        paper.cell("5x5")
