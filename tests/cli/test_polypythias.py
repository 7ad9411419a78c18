"""The worked example of PolyPythias in the library's guide, on made-up files of the same form."""

import json
from pathlib import Path

import numpy as np
import pytest

import run

GUIDE = Path(__file__).parents[2] / "jaxemerge" / "README.md"
STEPS, SIZES = (1000, 16000, 143000), {"14m": 0.05, "70m": 0.25, "410m": 0.55}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Nine seeds of three sizes at three checkpoints, 1,000 items of one task."""
    rng = np.random.default_rng(0)
    for size, end in SIZES.items():
        for seed in range(1, 10):
            level = end * rng.uniform(0.5, 1.5)
            for place, step in enumerate(STEPS):
                right = rng.binomial(1000, level * (place + 1) / 3) / 1000
                name = f"EleutherAI/pythia-{size}-seed{seed}"
                found = {
                    "results": {"lambada_openai": {"acc,none": right, "perplexity,none": 90 - 80 * right}},
                    "config": {"model_args": f"pretrained={name},revision=step{step}"},
                    "model_name": name,
                    "n-samples": {"lambada_openai": {"original": 1000, "effective": 1000}},
                }
                path = tmp_path / f"poly/pythia-{size}-seed{seed}/step{step}/results_{place}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxemerge.report.write.SCALE", 0.25)
    monkeypatch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
    return tmp_path


@pytest.mark.slow  # a whole report
def test_the_guide_says_what_the_command_prints(folder, capsys):
    assert run.main(["analyze", "poly", "--threshold", "0.2"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "EleutherAI/pythia-70m" in printed
    quoted = GUIDE.read_text(encoding="utf-8").partition("#### PolyPythias")[2].partition("## ")[0]
    lines = [line for line in quoted.splitlines() if line.startswith("EleutherAI/pythia")]
    assert len(lines) == 3
    for line in lines:
        assert " ".join(line.split()[1:]) in printed
