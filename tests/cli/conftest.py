"""Reports are drawn coarsely here, and slow machines print no lines about delays."""

import pytest

from jaxemerge.cli import delays
from whole_programs import coarse_reports as coarse_reports


@pytest.fixture(autouse=True)
def _no_reports_of_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delays, "FIRST", 1e6)
