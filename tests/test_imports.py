"""Do imports point down and never round, is the package light, and does nothing in it run foreign code?"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxemerge

ROOT = Path(jaxemerge.__file__).parent

# What each part of the package may import, besides itself.
BELOW: dict[str, set[str]] = {
    "types": set(),
    "host": set(),
    "devices": {"host"},
    "cache": {"devices"},
    "code": set(),
    "files": set(),
    "inputs": set(),
    "schema": set(),
    "text": set(),
    "brief": set(),
    "stats": {"brief"},
    "tasks": {"types", "brief", "devices", "code", "inputs"},
    "models": {"types", "devices", "cache", "code"},
    "training": {"types", "brief", "host", "devices", "code", "files", "tasks", "models"},
    "evaluation": {"types", "brief", "devices", "tasks", "models"},
    "runner": {
        "types",
        "brief",
        "devices",
        "code",
        "files",
        "inputs",
        "schema",
        "text",
        "tasks",
        "models",
        "training",
        "evaluation",
    },
    "exports": {"types", "brief", "files", "tasks", "models", "training", "evaluation", "runner", "analysis"},
    "analysis": {"schema", "text", "brief", "stats", "evaluation"},  # of evaluation only what metrics are
    "charts": {"analysis", "stats"},
    "report": {"files", "text", "charts", "analysis", "stats"},
    "study": {"types", "devices", "cache", "evaluation", "training", "runner", "report"},
    "cli": {
        "host",
        "text",
        "devices",
        "cache",
        "code",
        "files",
        "tasks",
        "models",
        "training",
        "evaluation",
        "runner",
        "exports",
        "analysis",
        "charts",
        "stats",
        "report",
        "study",
        "__version__",
    },
    "__main__": {"cli"},
}
PUBLIC = {
    "devices",
    "tasks",
    "models",
    "training",
    "evaluation",
    "runner",
    "exports",
    "study",
}  # what `import jaxemerge` may load


def imported(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """Parts of jaxemerge that a module imports anywhere, also inside functions and for types only."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            whole = ".".join([*base, *filter(None, [node.module])])
            names = [f"{whole}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "jaxemerge":
                yield parts[1] if len(parts) > 1 else ""


def upward(path: str, source: str) -> list[str]:
    """Imports of a module that its place does not allow."""
    place = Path(path).with_suffix("").parts
    part = place[0]
    allowed = PUBLIC if part == "__init__" else {part} | BELOW[part]
    return [
        f"{path} imports {name}"
        for name in imported(source, ("jaxemerge", *place[:-1]))
        if name not in allowed
    ]


def sources() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


def test_imports_point_down() -> None:
    found = sources()
    assert len(found) > 25
    assert [fault for path, source in found.items() for fault in upward(path, source)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tasks/count.py", "from jaxemerge.models import Transformer"),
        ("models/layers.py", "from ..tasks.base import Task"),
        ("models/layers.py", "import jaxemerge.tasks"),
        ("models/layers.py", "from jaxemerge import tasks"),
        ("models/layers.py", "import jaxemerge"),
        ("devices.py", "from .models import init"),
        ("stats/mode.py", "from ..types import Key"),
        ("training/step.py", "def f():\n    from ..evaluation.score import scores"),
        ("evaluation/score.py", "if TYPE_CHECKING:\n    from jaxemerge.training import Plan"),
        ("training/plan.py", "from .. import runner"),
        ("analysis/final.py", "from jaxemerge.runner.tables import SCHEMA"),
        ("charts/theme.py", "from ..report import write"),
        ("runner/study.py", "from jaxemerge.cli.terminal import say"),
        ("cli/plan.py", "from jaxemerge.schema import SCHEMA"),
        ("__init__.py", "from .charts import violins"),
        ("__init__.py", "from . import report"),
    ],
)
def test_sees_an_upward_import(path: str, source: str) -> None:
    harmless = "import jax\nfrom collections.abc import Iterator\n"
    assert upward(path, harmless) == []
    assert len(upward(path, harmless + source)) == 1


def test_allows_a_downward_import() -> None:
    for path, source in (
        (
            "tasks/count.py",
            "from jaxemerge.tasks.task import Task\nfrom .base import Task\nfrom . import check",
        ),
        ("runner/train.py", "from ..training import Plan\nfrom jaxemerge.types import Key"),
        ("charts/scale.py", "from ..analysis import summarise\nfrom .theme import PAGE"),
        ("__init__.py", "from .devices import self_test\nfrom .runner.experiment import Experiment"),
    ):
        assert len(list(imported(source, ("jaxemerge", *Path(path).parts[:-1])))) > 1
        assert upward(path, source) == []


# Packages whose modules import each other in one direction, inside functions and for types, too.
WITHOUT_CIRCLES = ("tasks", "evaluation", "runner", "cli", "exports", "stats", "analysis", "charts", "report")


def modules_imported(path: str, source: str, known: set[str]) -> set[str]:
    """Modules of jaxemerge, among ``known``, that a module imports anywhere; package faces aside."""
    package = ("jaxemerge", *Path(path).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            whole = ".".join([*base, *filter(None, [node.module])])
            found |= {whole, *(f"{whole}.{alias.name}" for alias in node.names)}
    return found & known


def circles(files: dict[str, str]) -> list[tuple[str, ...]]:
    """Groups of modules each of which imports, through others, itself."""
    names = {path: ".".join(("jaxemerge", *Path(path).with_suffix("").parts)) for path in files}
    known = set(names.values())
    reached = {names[path]: modules_imported(path, source, known) for path, source in files.items()}
    changed = True
    while changed:
        more = {name: found.union(*(reached[each] for each in found)) for name, found in reached.items()}
        changed, reached = more != reached, more
    inside = {name for name, found in reached.items() if name in found}
    return sorted(
        {tuple(sorted(reached[name] & {o for o in inside if name in reached[o]})) for name in inside}
    )


@pytest.mark.parametrize("package", WITHOUT_CIRCLES)
def test_modules_import_each_other_in_one_direction(package: str) -> None:
    own = {path: source for path, source in sources().items() if path.startswith(f"{package}/")}
    assert len(own) >= 3
    assert circles(own) == []


def parts_of_stats(path: str, source: str) -> set[str]:
    """Sub-packages of stats, besides its own, that a module of one imports anywhere."""
    own, up, found = Path(path).parts[1], len(Path(path).parts) - 1, set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == up and node.module:
            found.add(node.module.partition(".")[0])
    return found - {own}


def test_parts_of_stats_know_only_the_estimates() -> None:
    inside = {path: source for path, source in sources().items() if re.match(r"stats/\w+/", path)}
    assert len(inside) > 30
    for path, source in inside.items():
        own = Path(path).parts[1]
        known = {"estimates", "populations", "success"} if own == "design" else {"estimates"}
        assert parts_of_stats(path, source) <= known - {own}, path  # a design simulates the tests of others
    planted = "if TYPE_CHECKING:\n    from ..laws.runs import columns"
    assert parts_of_stats("stats/success/onset.py", planted) == {"laws"}
    assert parts_of_stats("stats/success/curves/onset.py", planted.replace("..", "...")) == {"laws"}


@pytest.mark.parametrize(
    "planted",
    [
        "from jaxemerge.runner.store import Store",
        "from .store import Store",
        "def f():\n    from jaxemerge.runner import store",
        "if TYPE_CHECKING:\n    import jaxemerge.runner.store",
    ],
)
def test_sees_a_circle(planted: str) -> None:
    files = {
        "runner/store.py": "from jaxemerge.runner.tables import results_table",
        "runner/tables.py": "from .scores import Evaluation",
        "runner/scores.py": "import jax",
        "runner/train.py": "from .store import Store",
    }
    assert circles(files) == []
    files["runner/scores.py"] += f"\n{planted}"
    names = ("jaxemerge.runner.scores", "jaxemerge.runner.store", "jaxemerge.runner.tables")
    assert circles(files) == [names]


FORBIDDEN = re.compile(
    r"\bpickle\b|\bdill\b|\bmarshal\b|(?<![.\w])eval\(|(?<![.\w])exec\(|\byaml\b|\bos\.system\b"
)


def test_nothing_that_runs_foreign_code() -> None:
    for path, source in sources().items():
        assert not FORBIDDEN.search(source), path
        assert "allow_pickle" not in source, path
    for planted in ("import pickle", "x = eval(text)", "from yaml import load", "exec(code)"):
        assert FORBIDDEN.search(planted)
    for harmless in ("jax.eval_shape(f)", "ast.literal_eval(text)", "self.eval(x)"):
        assert not FORBIDDEN.search(harmless)


WITHOUT = """
import sys
BLOCKED = {names!r}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
try:
    import {canary}
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the block does not hold")
"""
HEAVY = (
    "polars",
    "altair",
    "safetensors",
    "vl_convert",
    "jinja2",
    "jaxtyping",
    "diptest",
    "orbax",
    "scipy",
    "statsmodels",
)

TRAIN = """
import jaxemerge as je
import numpy as np
je.use_host_cores(1)
experiment = je.Experiment(
    task=je.Count(7, 3, (3, 5)), model=je.neox(1, 12, 3, rotary_fraction=0.5), steps=2, batch=2, context=11,
    seeds=je.paired(range(2)), evaluations=1,
)
population = je.train(experiment)
assert [e.step for e in population.evaluations] == [0, 2]
assert population.evaluations[-1].scores.exact.shape == (2, 2)
try:
    population.frame()
except ModuleNotFoundError as error:
    assert error.name == "polars"
else:
    raise SystemExit("frames need polars")
loaded = set(BLOCKED) & {name.partition(".")[0] for name in sys.modules}
assert not loaded, loaded
print("trained", population.evaluations[-1].train_loss.shape)
"""

LIGHT = """
import jaxemerge
loaded = set(BLOCKED) & {name.partition(".")[0] for name in sys.modules}
assert not loaded, loaded
print("imported")
"""


def fresh(program: str) -> str:
    """Runs a program in an interpreter that has imported nothing; its output."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def blocking(*names: str) -> str:
    return WITHOUT.format(names=names, canary=names[0])


def not_needed() -> list[str]:
    """What Flax and Optax themselves do not load either."""
    needed = set(
        fresh("import sys, flax.nnx, optax\nprint(*{m.partition('.')[0] for m in sys.modules})").split()
    )
    blocked = [name for name in (*HEAVY, "rich") if name not in needed]
    assert {"polars", "altair", "orbax", "jinja2", "vl_convert", "jaxtyping", "diptest"} <= set(blocked)
    return blocked


def test_import_needs_jax_flax_and_optax_alone() -> None:
    assert fresh(blocking(*not_needed()) + LIGHT) == "imported"


@pytest.mark.slow
def test_trains_with_jax_flax_and_optax_alone() -> None:
    assert fresh(blocking(*not_needed()) + TRAIN) == "trained (2,)"


def test_import_takes_no_jax_until_a_name_is_used() -> None:
    program = """
import sys
import jaxemerge
before = {"jax", "numpy"} & set(sys.modules)
assert jaxemerge.Experiment.__name__ == "Experiment"
print(sorted(before), "jax" in sys.modules, "Experiment" in dir(jaxemerge), jaxemerge.training.__name__)
"""
    assert fresh(program) == "[] True True jaxemerge.training"


def test_every_public_name_is_found_where_type_checkers_see_it() -> None:
    body = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    [block] = [node for node in body if isinstance(node, ast.If)]
    seen = {(alias.name, node.module) for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    known = {(name, module) for module, names in jaxemerge._HOMES.items() for name in names.split()}
    assert seen == known
    assert all(getattr(jaxemerge, name) is not None for name, _ in known)
    with pytest.raises(AttributeError, match=r"^module 'jaxemerge' has no attribute 'tran'$"):
        jaxemerge.tran  # noqa: B018


def test_statistics_need_no_frames_and_no_charts() -> None:
    assert (
        fresh(
            blocking("polars", "altair", "vl_convert", "jinja2", "orbax") + "import jaxemerge.stats\n" + LIGHT
        )
        == "imported"
    )


def test_block_is_seen() -> None:
    """The same check fails where a blocked module is imported."""
    with pytest.raises(AssertionError, match="No module named 'polars'"):
        fresh(blocking("polars") + "import jaxemerge.analysis")
