"""A task from the user's own file: is it found, set, trained, reported, are errors in it told by line?"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from argparse import Namespace
from pathlib import Path

import polars as pl
import pytest

import run
from command_line import fails, forget
from jaxemerge.cli import delays
from jaxemerge.cli.cells import chosen_cells
from jaxemerge.cli.program import parsed
from jaxemerge.cli.studies import Front
from jaxemerge.code import digests
from studies import STUDIES

README = (Path(__file__).parents[2] / "jaxemerge" / "README.md").read_text(encoding="utf-8")
TINY = ["--set", "model.depth=1", "--set", "steps=6", "--set", "batch=2", "--set", "evaluations=2"]

# Line 1 is the import of dataclass; tests rely on the numbers of the lines.
OWN = '''\
from dataclasses import dataclass
import jax
import jax.numpy as jnp
import numpy as np
import jaxemerge as je
import letters

@dataclass(frozen=True)
class Twice(je.Task):
    """A letter, written ``length`` times more."""
    length: int = 5
    vocabulary = letters.COUNT
    def __post_init__(self):
        if self.length < 2:
            raise ValueError(f"length={self.length}: must be at least 2")
    @property
    def max_length(self):
        return self.length + 1
    min_length = max_length
    def sample(self, key):
        tokens = jnp.full(self.length + 1, jax.random.randint(key, (), 0, self.vocabulary))
        return je.Example(tokens, 1.0 * (jnp.arange(self.length + 1) > 0), jnp.array(self.length + 1))
    def evaluation_sets(self):
        tokens = np.repeat(np.arange(self.vocabulary), self.length + 1).reshape(self.vocabulary, -1)
        return (je.EvaluationSet("test", self.length, tokens, tokens * 0 + np.arange(self.length + 1) > 0),)
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task and a module beside it, in which the command line is used."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "letters.py").write_text("COUNT = 7\n")
    (tmp_path / "broken.py").write_text("# in another file\n{}['x']\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget(monkeypatch, "own", "letters", "custom_own")
    return tmp_path


def test_a_task_that_the_file_makes_is_trained_on_and_scored_part_by_part(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.py").write_text(
        f"{OWN}both = je.TaskMixture((Twice(), Twice(length=3)), weights=(1, 2))\n"
    )
    assert run.main(["--task", "own.py:both", *TINY, "--seeds", "2", "--out", "made", "--no-cache"]) == 0
    assert "twice2/test, length 3" in capsys.readouterr().out
    rows = pl.read_parquet(folder / "made" / "cells" / "*" / "*.parquet")
    assert set(rows["split"].unique()) >= {"twice/test", "twice2/test"}
    cells = json.loads(Path("made/study.json").read_text())["cells"]
    assert {tuple(cell["task"]["weights"]) for cell in cells.values()} == {(1.0, 2.0)}


@pytest.mark.parametrize("where", ["own.py:Twice", "own:Twice"])
def test_a_task_is_found_in_a_file_or_module_and_its_fields_are_set(
    where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", where, "--plan", "--flops-per-second", "1e9", "--no-cache"]
    assert run.main([*words, "--set", "task.length=9"]) == 0
    assert re.findall(r"depth \d", capsys.readouterr().out) == ["depth 1", "depth 2", "depth 3"]
    cells = cells_of([*words, "--set", "task.length=9"])
    assert len(set(cells)) == 3
    assert not set(cells) & set(cells_of(words))


def cells_of(words: list[str]) -> list[str]:
    """Ids of the cells that a plan is about."""
    front = Front(STUDIES)
    return [cell.cell for cell in chosen_cells(parsed("plan", words, front, Namespace()), front)]


def test_a_file_may_import_with_a_dot_and_have_a_space_in_its_path(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder / "my tasks"
    place.mkdir()
    (place / "letters.py").write_text("COUNT = 3\n")
    (place / "own task.py").write_text(OWN.replace("import letters", "from . import letters"))
    where = "my tasks/own task.py:Twice"
    assert run.main(["--task", where, "--plan", "--flops-per-second", "1e9", "--no-cache"]) == 0
    found = sys.modules.pop("custom_own task")
    assert found.Twice.vocabulary == 3
    assert [name for name, _ in digests(found.Twice)] == ["letters.py", "own task.py"]


def test_text_of_ones_own_is_planned_and_bad_paths_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes.txt").write_text("to be or not to be " * 99)
    (folder / "2024").write_text("another text " * 99)
    corpus = ["--task", "Corpus", "--plan", "--flops-per-second", "1e9", "--no-cache"]
    ids = []
    for path in ("notes.txt", "2024", "'notes.txt','2024'"):
        assert run.main([*corpus, "--set", f"task.path={path}"]) == 0
        ids.append(cells_of([*corpus, "--set", f"task.path={path}"]))
        capsys.readouterr()
    assert [len(set(each)) for each in ids] == [3, 3, 3]
    assert len({each for part in ids for each in part}) == 9
    assert "path is empty: name a file or folder of text, as in task.path=notes.txt" in fails(corpus, capsys)
    missing = fails([*corpus, "--set", "task.path=none"], capsys)
    assert missing == "error: none cannot be read: No such file or directory\n"
    level = fails([*corpus, "--set", "task.path=notes.txt", "--set", "task.level=none.json"], capsys)
    assert "none.json cannot be read" in level


def test_a_built_in_task_is_found_by_its_name_and_gets_its_context(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [
        "--task",
        "InContext",
        "--set",
        "task.rule=reversal",
        "--plan",
        "--flops-per-second",
        "1e9",
        "--no-cache",
    ]
    assert run.main(arguments) == 0  # 120 characters, where the study's context is 64
    assert re.findall(r"\n (\d)", capsys.readouterr().out)[-1] == "3"  # a cell of each depth


def changed(old: str, new: str) -> str:
    assert old in OWN
    return OWN.replace(old, new, 1)


@pytest.mark.parametrize(
    ("where", "text", "message"),
    [
        (
            "Nope",
            OWN,
            "--task Nope: write FILE.py:NAME, MODULE:NAME or one of Addition, Composition, Corpus, Count",
        ),
        ("no.py:Twice", OWN, "--task no.py:Twice: no.py is no file"),
        ("no_such.part:Twice", OWN, "--task no_such.part:Twice: no module no_such.part here"),
        ("own.py:Thrice", OWN, "own.py:Thrice: own.py has no Task or Objective of this name: it has Twice"),
        ("own:dataclass", OWN, "own:dataclass: own has no Task or Objective of this name: it has Twice"),
        ("own.py:Twice", changed("class Twice", "clas Twice"), "own.py, line 9: SyntaxError: invalid syntax"),
        (
            "own.py:Twice",
            changed("letters.COUNT", "letters.NUMBER"),
            "own.py, line 12: AttributeError: module 'letters' has no attribute 'NUMBER'",
        ),
        (
            "own:Twice",
            changed("letters.COUNT", "1 // 0"),
            "own.py, line 12: ZeroDivisionError: integer division or modulo by zero",
        ),
        (
            "own.py:Twice",
            changed("int = 5", "int"),
            "missing 1 required positional argument: 'length'; give it defaults, or name a value that",
        ),
        ("own.py:Twice", changed("@dataclass(frozen=True)\n", ""), "Twice is not hashable: use @dataclass("),
        (
            "own.py:Twice",
            changed("int = 5\n", "int = 5\n    table: object = jnp\n"),
            "field table holds <module 'jax.numpy'",
        ),
        (
            "own.py:Twice",
            changed("@property\n    def max", "def max").replace("min_length = max_length", "min_length = 6"),
            "own.py:Twice: max_length is <bound method Twice.max_length",
        ),
        (
            "own.py:Twice",
            changed("import letters", "import letters, broken"),
            "broken.py, line 2: KeyError: 'x'",
        ),
        (
            "own.py:Twice",
            changed("import letters", "import letters, sys; sys.exit(3)"),
            "line 6: SystemExit: 3",
        ),
        (
            "own.py:Twice",
            changed("        tokens = jnp", "        import sys; sys.exit(0)\n        tokens = jnp"),
            "own.py, line 21: SystemExit: 0",
        ),
        (
            "own.py:Twice",
            f"{OWN}\0",
            "own.py: SyntaxError: source code string cannot contain null bytes",
        ),
        (
            "own.py:Twice",
            "x = \u00e9".encode("latin-1"),
            "own.py, line 1: SyntaxError: (unicode error) 'utf-8'",
        ),
        ("own.py:Twice", "x = 1".encode("utf-16"), "own.py: SyntaxError: source code string cannot contain"),
        ("folder.py:Twice", OWN, "--task folder.py:Twice: folder.py is no file"),
        ("pipe.py:Twice", OWN, "--task pipe.py:Twice: pipe.py is no file"),
        ("own.py:Twice", changed("int = 5", "int = 1"), "--task own.py:Twice: length=1: must be at least 2"),
        (
            "own.py:Twice",
            changed("self.length + 1\n    min", "self.size + 1\n    min"),
            "own.py, line 18)",
        ),
        (
            "own.py:Twice",
            changed("jnp.full(self.length + 1, ", "jnp.full(self.length + 1, [1, 2] + "),
            "own.py, line 21)",
        ),
        (
            "own.py:Twice",
            changed("np.repeat(np.arange", "np.repeat(np.range"),
            "task twice: evaluation_sets() fails: AttributeError: module 'numpy' has no attribute 'range'",
        ),
    ],
)
def test_errors_name_the_line(
    where: str, text: str | bytes, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.py").write_bytes(text.encode() if isinstance(text, str) else text)
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    assert message in fails(["--task", where, *TINY, "--no-cache"], capsys)
    assert not (folder / "results").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("catch", ["", "except Exception: "])
def test_an_endless_loop_ends_at_a_signal(
    number: int, code: int, catch: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is lost before training: a signal is obeyed at once, whatever the user's code catches."""
    loop = f"""
        import os
        os.kill(os.getpid(), {number})
        while True:
            {"try: jnp.sin(1)" if catch else "pass"}
            {catch}{"pass" if catch else ""}
"""
    start = OWN.index("        tokens = jnp")
    (folder / "own.py").write_text(OWN[:start].rstrip() + loop + OWN[start:])
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    try:
        assert run.main(["--task", "own.py:Twice", *TINY, "--no-cache"]) == code
    finally:
        signal.signal(signal.SIGINT, previous)
    assert capsys.readouterr().out.endswith("Run the same command again to resume.\n")
    assert not (folder / "results").exists()


def test_what_takes_long_is_said_with_the_line_of_the_users_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = "        import os, time; time.sleep(0.5); os.kill(os.getpid(), 15)\n        tokens = jnp"
    (folder / "own.py").write_text(changed("        tokens = jnp", slow))
    monkeypatch.setattr(delays, "FIRST", 0.05)
    assert run.main(["--task", "own.py:Twice", *TINY, "--no-cache"]) == 143
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith("Ctrl-C stops.")]
    assert f"0 s so far, in {folder / 'own.py'}, line 21, sample. Ctrl-C stops." in lines
    assert len(lines) < 12  # the pause doubles


def test_a_file_that_changes_the_folder_changes_no_path(folder: Path) -> None:
    (folder / "own.py").write_text(f"import os\nos.chdir('/')\n{OWN}")
    cells_of(["--task", "own.py:Twice"])
    assert Path.cwd() == folder


@pytest.mark.slow
def test_the_commands_of_the_readme(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The class as it stands in the README, in a file of its own."""
    [code] = [c for c in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "class Reverse" in c]
    (folder / "reverse.py").write_text(code.partition("\n\n\nprint(")[0])
    block = re.search(
        r"```bash\n(python experiments/run\.py --task reverse\.py.*?)```", README, flags=re.DOTALL
    )
    assert block is not None
    train, report = (shlex.split(line)[2:] for line in block[1].splitlines())
    assert run.main([*train, *TINY]) == 0
    assert "Training 8 seeds in 1 cells" in capsys.readouterr().out
    assert run.main(report) == 0
    assert run.main(["status", report[1]]) == 0
    assert "depth 1, width 64" in capsys.readouterr().out
    assert run.main([*train, *TINY]) == 0
    assert "nothing to train" in capsys.readouterr().out
    kept = json.loads(Path(report[1], "study.json").read_text())
    assert "count_quick_Reverse" in json.dumps(kept)
    rows = pl.read_parquet(Path(report[1]) / "cells" / "*" / "*.parquet")
    assert set(rows["task"]) == {"reverse"}
    assert rows["init_seed"].n_unique() == 8


OWN_OPTIMIZERS = """\
import optax
import jaxemerge as je

def adafactor(steps):
    return optax.adafactor(optax.linear_schedule(1e-2, 0.0, steps))

def closure(rate):
    return lambda steps: optax.sgd(rate)

fixed = closure(0.1)
slow = je.SGD(learning_rate=1e-3, schedule="constant")
"""


@pytest.mark.parametrize(
    ("where", "kind"), [("Muon", "Muon"), ("opt.py:slow", "SGD"), ("opt.py:adafactor", "Optax")]
)
def test_another_optimizer_is_trained(where: str, kind: str, folder: Path) -> None:
    (folder / "opt.py").write_text(OWN_OPTIMIZERS)
    run.main(["count_quick", "--optimizer", where, "--cells", "1", "--seeds", "2", *TINY])
    record = folder / "results" / f"count_quick_{where.rpartition(':')[2]}" / "study.json"
    assert f'"kind": "{kind}"' in record.read_text()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "opt.py:fixed",
            "--optimizer opt.py:fixed: optimizer is a function that closes over variables: give",
        ),
        (
            "opt.py:none",
            "--optimizer opt.py:none: opt.py has no optimizer or function of the steps of this name",
        ),
        (
            "AdaW",
            "--optimizer AdaW: write FILE.py:NAME, MODULE:NAME or one of AdamW, Adam, SGD, Lion, Muon",
        ),
    ],
)
def test_what_is_no_optimizer_is_named(
    where: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "opt.py").write_text(OWN_OPTIMIZERS)
    assert message in fails(["count_quick", "--optimizer", where, "--seeds", "2", *TINY], capsys)
