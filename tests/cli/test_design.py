"""The command line's answer to how many seeds a question needs, and what they cost."""

import re
from dataclasses import MISSING, fields

import pytest

import run
from jaxemerge import charts
from jaxemerge.analysis import power_table
from jaxemerge.cli import main
from jaxemerge.cli.questions import DESIGN
from jaxemerge.cli.questions import QUESTIONS as NAMES
from jaxemerge.stats import plan_seeds
from jaxemerge.stats.design.questions import QUESTIONS

RATES = ["design", "--question", "rates", "--studies", "200"]


def written(value):
    if isinstance(value, tuple):
        return ",".join(f"{each:g}" for each in value)
    return str(value) if isinstance(value, bool) else f"{value:g}"


def test_the_help_has_every_question_and_part_with_its_default():
    assert [name.replace("-", "_") for name in NAMES] == list(QUESTIONS)
    for name, kind in zip(NAMES, QUESTIONS.values(), strict=True):
        assert f"\n  {name} " in DESIGN
        for field in fields(kind):
            assert field.default is not MISSING
            assert f"{field.name}={written(field.default)}" in DESIGN


def test_the_number_of_seeds_is_that_of_the_library(capsys):
    assert run.main([*RATES, "--effect", "rates=.1,.6", "--power", ".7", "--key", "3"]) == 0
    text = capsys.readouterr().out
    plan = plan_seeds("rates", {"rates": (0.1, 0.6)}, 0.7, studies=200, key=3)
    assert f"Needed: {plan.seeds.value:.0f} seeds in each of 2 cells" in text
    assert "Effect: rates=0.1,0.6" in text
    rows = re.findall(r"^ +(\d+) +([\d.]+) +[\d.]+ to [\d.]+ +([\d,]+)", text, re.MULTILINE)
    table = power_table(plan)
    assert [int(seeds) for seeds, _, _ in rows] == table["seeds"].to_list()
    assert [float(power) for _, power, _ in rows] == pytest.approx(table["power"].to_list(), abs=0.005)
    assert max(map(len, text.splitlines())) <= 120


def test_it_works_without_studies(capsys):
    assert main(["design", "--question", "outcomes", "--effect", "share=.2,.3", "--studies", "80"]) == 0
    assert "share=0.2,0.3 times=3" in capsys.readouterr().out


def test_crossed_designs_say_what_is_crossed(capsys):
    assert main(["design", "--question", "init", "--studies", "80", "--effect", "init=.6"]) == 0
    assert re.search(r"Needed: (\d+) init seeds x \1 data seeds, \d+ runs", capsys.readouterr().out)


def test_too_few_seeds_are_said_to_be_too_few(capsys):
    assert main([*RATES, "--effect", "rates=.5,.51", "--most", "30"]) == 0
    assert "Not with 30 seeds per cell: power 0.0" in capsys.readouterr().out


def test_a_study_has_a_cost_that_grows_with_its_seeds(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*RATES, "count_quick", "--flops-per-second", "1e10", "--cells", "1,2", "--set", "steps=10"]
    costs = []
    for effect in ("rates=0,1", "rates=.2,.7"):
        assert run.main([*words, "--effect", effect]) == 0
        text = capsys.readouterr().out
        found = re.search(r"count_quick: (\d+) seeds in each of 2 cells are (\d+) seeds: (\S+) FLOPs", text)
        assert int(found[2]) == 2 * int(found[1])
        assert "at 1e+10 FLOP/s (as given)" in text
        costs.append(float(found[3]) / int(found[1]))
    assert costs[0] == pytest.approx(costs[1], rel=0.2)  # the last chunk is filled up
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["svg", "png", "html"])
def test_the_chart_is_written(ending, tmp_path, capsys):
    path = tmp_path / f"power.{ending}"
    assert main([*RATES, "--chart", str(path)]) == 0
    assert path.stat().st_size > 1000
    assert f"Chart: {path}" in capsys.readouterr().out


def test_the_chart_holds_the_numbers():
    table = power_table(plan_seeds("rates", studies=200))
    spec = charts.power_against_seeds(table, 0.8).to_dict()
    data = [layer["data"] for layer in spec["layer"]]
    rows = [each.get("values") or spec["datasets"][each["name"]] for each in data]
    assert rows[0] == [{"target": 0.8}]
    assert [row["seeds"] for row in rows[-1]] == table["seeds"].to_list()
    assert [row["power"] for row in rows[-1]] == pytest.approx(table["power"].to_list(), abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["design"], "design: add --question, one of two-sided, rates, midpoint"),
        (["design", "--question", "rate"], "'rate' must be one of two-sided, rates"),
        ([*RATES, "--effect", "rates"], "--effect rates: write PART=VALUE"),
        ([*RATES, "--effect", "rate=1"], "--effect rate: no part of rates; did you mean rates?"),
        ([*RATES, "--effect", "rates=high"], "--effect rates=high: must be numbers with commas"),
        ([*RATES, "--effect", "rates=.2,1.2"], "must be 2 numbers in [0, 1]"),
        ([*RATES, "--power", "80"], "--power: '80' must be a number in (0, 1)"),
        ([*RATES, "--confidence", "1"], "--confidence: '1' must be a number in (0, 1)"),
        ([*RATES, "--most", "2"], "most=2 must be at least 4"),
        ([*RATES, "--chart", "power.pdf"], "--chart power.pdf: the name must end with .svg, .png, .html"),
        ([*RATES, "count_quik"], "unknown study 'count_quik'; did you mean count_quick?"),
        ([*RATES, "count_quick", "more"], "more: design takes one study"),
        ([*RATES, "--cells", "1"], "--cells: name the study whose cost is to be estimated"),
        ([*RATES, "--seeds", "8"], "--seeds: an option of"),
    ],
)
def test_mistakes_are_answered_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(words)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
