"""What is stored on disk because it can be made again: where, and may others write it?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import jax

from jaxemerge.devices import DeviceError


def keep_compiled(folder: Path | None = None) -> None:
    """Keeps compiled programs on disk, for this process and later ones: a second start skips compilation.

    A folder that the user has set already (JAX_COMPILATION_CACHE_DIR) is left as it is.

    Args:
        folder: where to keep them; by default ``jaxemerge/programs`` in the user's cache folder
            (XDG_CACHE_HOME, else ~/.cache).

    Raises:
        DeviceError: other users can write the folder: what they put there would be run as this user.
        OSError: it cannot be made.
    """
    if getattr(jax.config, "jax_compilation_cache_dir") is None:  # noqa: B009 - jax declares no types here
        jax.config.update("jax_compilation_cache_dir", str(_private(folder or cache_folder() / "programs")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _private(folder: Path) -> Path:
    """A folder that only this user can write; created if it does not exist."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    seen = folder.stat()
    theirs = seen.st_uid != os.getuid()
    if theirs or seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = (
            f"belongs to user {seen.st_uid}"
            if theirs
            else f"is open to others (mode {seen.st_mode & 0o777:o})"
        )
        raise DeviceError(
            f"{folder} {why}, and compiled programs are run from it: remove it, or go without (--no-cache)"
        )
    return folder


def cache_folder() -> Path:
    """Where things are kept that can be made again, for this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "jaxemerge"
