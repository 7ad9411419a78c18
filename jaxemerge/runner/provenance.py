"""Which versions, code, device and settings produced a number?"""

from __future__ import annotations

import datetime
import itertools
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxemerge.code import digest_of, version_of
from jaxemerge.models import Model

_PACKAGES = ("jaxemerge", "jax", "jaxlib", "flax", "optax", "numpy", "polars")
_SETTINGS = (
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_matmul_precision",
    "jax_enable_x64",
)
_NUMBERS = ("devices.py", "evaluation", "models", "tasks", "training")  # what decides numbers
_FEW_FILES = 3  # that a report names
_HARMLESS = ("--xla_force_host_platform_device_count", "--xla_dump_")  # flags that change no number


def provenance(model: Model | None = None) -> dict[str, Any]:
    """Versions, code, device and time of this process, as plain JSON values.

    Args:
        model: what is trained: the code that computes its parts on this platform is named, too.
    """
    devices = jax.local_devices()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "git": git_state(Path(__file__).parent),
        "code": digest_of(Path(__file__).parents[1], _NUMBERS),
        "platform": platform.platform(terse=True),
        "processor": processor(),
        "device": devices[0].device_kind,
        "backend": devices[0].platform,
        "devices": len(devices),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "settings": settings(),
        "implementation": {} if model is None else model.implementation(),
    }


def settings() -> dict[str, Any]:
    """Settings of JAX and XLA that may change random numbers or the precision of products."""
    flags = sorted(os.environ.get("XLA_FLAGS", "").split())
    telling = " ".join(flag for flag in flags if not flag.startswith(_HARMLESS))
    return {**{name: getattr(jax.config, name) for name in _SETTINGS}, "XLA_FLAGS": telling}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Versions, commits and the library's own code where they differ between two provenances, in words."""
    pairs = [(name, before["packages"].get(name), version) for name, version in now["packages"].items()]
    pairs.append(("commit", (before["git"] or {}).get("commit"), (now["git"] or {}).get("commit")))
    minor = {str(one["python"]).rpartition(".")[0] for one in (before, now)}
    if "code" in before and len(minor) == 1:  # versions of Python write a syntax tree in different ways
        pairs.append(("the library's training code", before["code"], now["code"]))
    return [f"{name} was {old} and is {new}" for name, old, new in pairs if old != new]


def processor() -> str:
    """Name of the host's processor and its number of cores."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that holds ``folder``, and whether it has uncommitted changes."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # else a copy installed inside some other checkout
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None  # an installed copy, or no git on this machine


def described(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Provenance of finished chunks as labels and texts for people."""
    found = [record["provenance"] for record in records]
    if not found:
        return []
    found += [part["provenance"] for record in records for part in record.get("earlier", ())]
    times = sorted(one["time"][:16].replace("T", " ") for one in found)
    seconds = sum(record["seconds"] for record in records)
    return [
        ("Chunks started", f"{times[0]} to {times[-1]} (UTC)"),
        ("Took", f"{seconds / 60:.1f} minutes with compilation and scoring"),
        *_described_files(records),
        *described_circumstances(found),
    ]


def _described_files(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The data files that chunks were trained on, if any."""
    files = {pair: None for record in records for pair in record.get("files", {}).items()}
    if not files:
        return []
    shown = [f"{path} (SHA-256 {digest}...)" for path, digest in itertools.islice(files, _FEW_FILES)]
    more = [f"and {len(files) - len(shown)} more, listed in study.json"] if len(files) > len(shown) else []
    return [("Data files", "; ".join([*shown, *more]))]


def described_circumstances(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Provenances as labels and texts for people, without times."""
    return [
        ("Device", _joined(f"{one['devices']} x {one['device']} ({one['processor']})" for one in found)),
        ("Versions", _joined(_versions(one) for one in found)),
        ("Code", _joined(_commit(one["git"]) for one in found)),
        *([("Study's files", _joined(map(_files, own)))] if (own := [*filter(_files, found)]) else []),
        ("Platform", _joined(one["platform"] for one in found)),
        ("JAX settings", _joined(_settings(one["settings"]) for one in found)),
        ("Model computed by", _joined(_implementation(one.get("implementation", {})) for one in found)),
        ("XLA_FLAGS", _joined(one["xla_flags"] or "none" for one in found)),
    ]


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _versions(one: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in one["packages"].items() if version)
    return f"Python {one['python']}, {packages}"


def _commit(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return "installed package, commit unknown"
    return f"commit {git['commit'][:12]}" + (" with uncommitted changes" if git["dirty"] else "")


def _files(one: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {digest}" for name, digest in one.get("study", {}).items())


def _settings(settings: Mapping[str, Any]) -> str:
    jax_names = [name for name in settings if name != "XLA_FLAGS"]  # that has a line of its own
    shown = {name: "default" if settings[name] is None else settings[name] for name in jax_names}
    return ", ".join(f"{name.removeprefix('jax_')} {value}" for name, value in shown.items())


def _implementation(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{part} {code}" for part, code in parts.items()) or "plain code"
