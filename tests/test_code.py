"""Whose code is it, has it changed, and where did it fail?"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import jaxemerge
from jaxemerge.code import code_of, digests, is_own, told

FILES = {
    "mine/__init__.py": "",
    "mine/a.py": "import numpy\nfrom . import b\nfrom mine.below.c import C\nimport jaxemerge\n"
    "class A(C):\n    def fail(self):\n        return 1 / 0\ndef f():\n    return b.x\n",
    "mine/b.py": "import far\nx = 1\n",
    "mine/below/__init__.py": "",
    "mine/below/c.py": "class C:\n    def fall(self):\n        return {}['key']\n",
    "mine/unused.py": "",
    "far.py": "",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = importlib.import_module("mine.a")
    yield found
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mine", "far")]:
        del sys.modules[name]


def test_files_are_those_of_the_class_and_what_it_imports_from_beside_it(module: Any) -> None:
    seen = dict(digests(module.A))
    expected = {
        "a.py",
        "b.py",
        "below/c.py",
        "below/__init__.py",
    }  # neither NumPy, nor the library, nor far.py
    assert expected - {"below/__init__.py"} <= set(seen) <= expected | {"__init__.py"}
    assert digests(module.f) == digests(module.A)
    text = FILES["mine/b.py"].encode()
    assert seen["b.py"] == hashlib.sha256(text).hexdigest()[:12]


def test_files_of_one_name_in_two_folders_are_both_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    texts = {package: f"def f():\n    return '{package}'\n" for package in ("one", "two")}
    for package, text in texts.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "parts.py").write_text(text)
    try:
        seen = code_of([importlib.import_module(f"{package}.parts").f for package in texts])
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in texts]:
            del sys.modules[name]
    both = sorted(hashlib.sha256(text.encode()).hexdigest()[:12] for text in texts.values())
    assert seen == {"parts.py": "+".join(both)}


def test_the_librarys_own_code_is_known_by_its_version() -> None:
    assert not is_own(jaxemerge.Count)
    assert digests(jaxemerge.Count) == ()
    assert digests(dict) == ()  # is no one's file


def test_errors_are_told_with_the_line_of_the_users_code(module: Any) -> None:
    for method, words, file in (
        (module.A().fail, "ZeroDivisionError: division by zero", "mine/a.py, line 7"),
        (module.A().fall, "KeyError: 'key'", "mine/below/c.py, line 3"),
    ):
        try:
            method()
        except (ZeroDivisionError, KeyError) as error:
            line = told(error, [module.A])
        assert line.startswith(words)
        assert line.endswith(f"{file})")
    assert told(ValueError("a\nb"), [module.A]) == "ValueError: a"
