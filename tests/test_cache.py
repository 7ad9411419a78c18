"""Are compiled programs stored where the user says?"""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from jaxemerge.cache import keep_compiled


def test_compiled_programs_are_kept_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {
        name: getattr(jax.config, name)
        for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    }
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        for folder, expected in (
            (None, tmp_path / "jaxemerge" / "programs"),
            (tmp_path / "x", tmp_path / "x"),
        ):
            jax.config.update("jax_compilation_cache_dir", None)
            keep_compiled(folder)
            assert jax.config.jax_compilation_cache_dir == str(expected)
        keep_compiled(tmp_path / "other")
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "x")  # what is set already stays
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
