"""Do the changes that CONTRIBUTING.md shows apply to the package, touch few files, and do what they say?"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxemerge

ROOT = Path(jaxemerge.__file__).parents[1]
SHOWN = re.compile(r"<!-- adds: (\w+) -->\n```diff\n(.*?)```", re.DOTALL)
CHANGES = dict(SHOWN.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))

# What each change must make possible; numbers are checked against NumPy and against sums by hand.
USES = {
    "law": """
import numpy as np
from jaxemerge.stats import LogLaw, fit_log_law
scale = np.repeat([1e3, 1e4, 1e5, 1e6], 3)
value = 7 - 0.4 * np.log(scale) + np.tile([0.01, -0.02, 0.03], 4)
law = fit_log_law(scale, value, bootstraps=50)
slope, intercept = np.polyfit(np.log(scale), value, 1)
assert isinstance(law, LogLaw)
np.testing.assert_allclose([law.intercept.value, law.slope.value], [intercept, -slope], rtol=1e-9)
assert law.slope.interval.low <= law.slope.value <= law.slope.interval.high
""",
    "metric": """
import numpy as np
from jaxemerge.evaluation import METRICS, Items
metric = {each.name: each for each in METRICS}["wrong_tokens"]
nothing = np.zeros(3)
right = np.array([5, 1, 4])
items = Items(answers=np.array([5, 3, 7]), exact=right == 5, right=right, nll=nothing, brier=nothing)
assert metric.of(items).tolist() == [0, 2, 3]
""",
}


def applied(change: str, folder: Path) -> list[str]:
    """Applies a change to a copy of the package in a folder; the files it touches."""
    shutil.copytree(ROOT / "jaxemerge", folder / "jaxemerge", ignore=shutil.ignore_patterns("__pycache__"))
    # An empty line of a change stands for an empty line of the file, whose space editors take away.
    lines = [line or " " for line in change.splitlines()]
    (folder / "change.diff").write_text("\n".join(lines) + "\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "apply", "change.diff"], cwd=folder, check=True)
    return re.findall(r"^\+\+\+ b/(\S+)", change, re.MULTILINE)


def used(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", USES[name]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_law_and_a_metric_are_shown() -> None:
    assert sorted(CHANGES) == sorted(USES)


@pytest.mark.parametrize("name", USES)
def test_a_change_touches_few_files_and_works(name: str, tmp_path: Path) -> None:
    files = applied(CHANGES[name], tmp_path)
    assert 1 <= len(files) <= 3
    assert all((tmp_path / file).exists() for file in files)
    done = used(name, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_uses_fail_without_the_change(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "jaxemerge", tmp_path / "jaxemerge")
    assert "cannot import name" in used("law", tmp_path).stderr
