"""Under what circumstances a number came about, and how a report says so."""

import json
import subprocess
from pathlib import Path

import jax

import jaxemerge
from jaxemerge.code import digest_of
from jaxemerge.runner.provenance import changes, described, git_state, provenance


def test_this_process_is_described_by_plain_json():
    found = json.loads(json.dumps(provenance()))
    assert found["packages"]["jax"] == jax.__version__
    assert found["devices"] == len(jax.local_devices())
    assert found["settings"]["jax_threefry_partitionable"] is True


def test_code_is_known_by_what_is_run(tmp_path):
    """An edit between two runs is named; comments and docstrings, and other packages, are not the code's."""
    (tmp_path / "training").mkdir()
    step, other = tmp_path / "training" / "step.py", tmp_path / "report.py"
    other.write_text("x = 1")

    def digest(text):
        step.write_text(text)
        digest_of.cache_clear()
        return digest_of(tmp_path, ("training",))

    first = digest('"""A step."""\ndef step(x):\n    """Moves."""\n    return x + 1\n')
    assert (
        digest('"""One step."""\n# Moves.\ndef step(x):\n    """Moves on."""\n\n    return x + 1\n') == first
    )
    other.write_text("x = 2")
    assert digest("def step(x):\n    return x + 1\n") == first
    assert digest("def step(x):\n    return x + 2\n") != first
    before = provenance()
    assert changes(before, before) == []
    assert changes({**before, "code": "0" * 12}, before) == [
        f"the library's training code was {'0' * 12} and is {before['code']}"
    ]
    assert changes({**before, "code": "0" * 12, "python": "3.9.1"}, before) == []
    assert changes({name: before[name] for name in before if name != "code"}, before) == []


def test_commit_and_uncommitted_changes(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    assert git_state(tmp_path) is None  # a package that is not tracked is no checkout
    (tmp_path / "__init__.py").write_text("")
    git("add", ".")
    git("commit", "-m", "first")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "new.py").write_text("")
    assert git_state(tmp_path)["dirty"] is True


def test_report_details_name_each_circumstance_once():
    one = {**provenance(), "time": "2031-02-03T04:05:06+00:00", "git": {"commit": "c" * 40, "dirty": True}}
    other = {**one, "time": "2031-02-03T05:06:07+00:00", "git": None}
    details = dict(described([{"provenance": one, "seconds": 60}, {"provenance": other, "seconds": 30}]))
    assert details["Chunks started"] == "2031-02-03 04:05 to 2031-02-03 05:06 (UTC)"
    assert details["Took"] == "1.5 minutes with compilation and scoring"
    assert details["Code"].split("; ") == [
        "commit cccccccccccc with uncommitted changes",
        "installed package, commit unknown",
    ]
    assert details["Versions"].count("jaxlib") == 1
    assert described([]) == []
    assert (Path(jaxemerge.__file__).parent / "py.typed").exists()
