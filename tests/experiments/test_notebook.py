"""The notebook runs top to bottom, and keeps no outputs that would go stale."""

import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_has_no_outputs():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert len(code) >= 6
    for cell in code:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        assert len(cell["source"]) <= 15


@pytest.mark.slow
def test_it_runs_top_to_bottom():
    """All its cells, as a kernel would run them; trains two small populations, for few steps."""
    names = {"__name__": "__main__"}
    code = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
    assert [sum(f"steps={steps}," in each for each in code) for steps in (400, 200)] == [1, 1]
    for each in code:
        shortened = each.replace("steps=400,", "steps=40,").replace("steps=200,", "steps=20,")
        exec(compile(shortened, NOTEBOOK.name, "exec"), names)
    first, second = (names[name].evaluations for name in ("population", "tuned"))
    np.testing.assert_array_equal(second[0].scores.exact, first[-1].scores.sets.exact)
    assert names["results"].filter(metric="confidence").height == 12 * len(first) * 2
    assert set(names["population"].kept) == {0, *(2**i for i in range(6)), 40}
