"""The report is one file that needs no network, draws every chart, and says what the frame holds."""

import base64
import html
import json
import re
import shutil
import subprocess
from functools import partial

import polars as pl
import pytest

from jaxemerge.analysis import emergence, final, findings, read_results, success_fit, summarise
from jaxemerge.report import write_report
from jaxemerge.report.contents import contents
from jaxemerge.report.metrics import _verdict_words
from jaxemerge.report.page import as_csv
from jaxemerge.report.scale import distances_between_cells, success_against_scale_fitted
from jaxemerge.report.single_seeds import single_seeds
from jaxemerge.text import printable
from synthetic import population_frame

ALL = ["histograms", "mixtures", "success_against_scale", "distances"]
ALL += ["learning_curves", "survival", "training_loss", "emergence", "beside_the_loss"]
ALL += ["violins", "thresholds", "per_token", "induced", "resolution", "correlations"]  # folded
ACT = "document.title='broken into'"
STRANGE = f'</script><script>{ACT}</script><img src=x onerror="{ACT}"> \u2028 & co'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def text_of(page):
    """What a reader reads: no scripts, no tags."""
    body = re.sub(r"<(script|style).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def specs_of(page):
    found = re.findall(
        r'<script type="application/json" id="spec-(\w+)">(.*?)</script>',
        page.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    return {name: json.loads(spec, parse_constant=pytest.fail) for name, spec in found}


@pytest.fixture(scope="module")
def frame():
    return population_frame([(1, 64), (2, 64), (4, 64)], 7, (30, 40), (0, 5, 11, 50, 75, 100))


@pytest.fixture(scope="module")
def page(frame, tmp_path_factory):
    details = [("machine", "2 cores"), ("command", "python experiments/run.py")]
    return write_report(
        frame, tmp_path_factory.mktemp("report"), title="A study", threshold=0.35, details=details
    )


def test_what_only_luck_gets_right_is_told_by_its_loss():
    """Where the best possible loss is above 0 and no answer was right, as for a random source."""
    frame = population_frame([(1, 64), (2, 64)], 3, (30,), (0, 10), diverged=0)
    right = pl.col("metric") == "exact_match"
    never = frame.with_columns(value=pl.when(right).then(0.0).otherwise("value"))
    seen = {
        name: [figure.name for figure in contents(rows, 0.2, None, best_loss=best).figures]
        for name, rows, best in (("luck", never, 1.2), ("not", never, 0.0), ("unknown", never, None))
    }
    assert seen["luck"] == ["values", "differences", "learning_curves", "training_loss"]
    assert "histograms" in seen["not"]
    assert seen["not"] == seen["unknown"]
    headline = contents(never, 0.2, None, best_loss=1.2).headline
    assert headline[-2].startswith("Answer loss at the end of training: at length 30 the mean is ")
    assert headline[-1].startswith("Exact match is 0 for every run")
    assert "histograms" in [figure.name for figure in contents(frame, 0.2, None, best_loss=1.2).figures]


def test_a_task_that_is_scored_by_its_loss_leads_with_it():
    """Running text has no exact match: the headline is the final loss."""
    frame = population_frame([(1, 64), (2, 64)], 3, (30,), (0, 10), diverged=0)
    text = frame.filter(pl.col("metric").is_in(["exact_match", "train_loss"])).with_columns(
        trials=None,
        value=pl.when(metric="exact_match").then(pl.col("value") + 2).otherwise("value"),
        metric=pl.col("metric").replace("exact_match", "bits_per_byte"),
    )
    shown = contents(text, 0.2, None)
    headline, figures = shown.headline, shown.figures
    ends = text.filter(metric="bits_per_byte", step=10, depth=1)["value"].mean()
    assert headline[2].startswith("Bits per byte of text at the end of training: at length 30 the mean is ")
    assert f"{ends:.2f} [" in headline[2]
    assert len(headline) == 3
    names = [figure.name for figure in figures]
    assert names == ["values", "differences", "learning_curves", "training_loss"]


def test_page_and_pictures_are_written(page):
    assert page.name == "report.html"
    assert list(specs_of(page)) == ALL
    names = {f"{name}.{kind}" for name in ALL for kind in ("png", "svg")}
    assert {path.name for path in (page.parent / "charts").iterdir()} == names
    assert {path.name for path in page.parent.iterdir()} == {"report.html", "report.json", "charts", "tables"}
    for name in ALL:
        assert (page.parent / "charts" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (page.parent / "charts" / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")


def test_tables_are_offered_as_csv(frame, page):
    source = page.read_text(encoding="utf-8")
    links = dict(
        re.findall(r'download="(\w+).csv" href="data:text/csv;charset=utf-8;base64,([\w+/=]+)"', source)
    )
    files = {path.stem: path.read_bytes() for path in (page.parent / "tables").iterdir()}
    assert set(files) == {"summary", "mixtures", "distances", "survival"} | {
        *("thresholds", "beside_the_loss", "correlations", "emergence", "resolution"),
        *("per_token", "induced"),
    }
    assert {name: base64.b64decode(link) for name, link in links.items()} == files
    summary, expected = pl.read_csv(files["summary"]), summarise(frame, threshold=0.35)
    assert summary.columns == expected.columns
    assert summary["mean"].to_list() == pytest.approx(expected["mean"].to_list())
    lumps = pl.read_csv(files["mixtures"])
    assert [len(str(row["weights"] or "").split()) for row in lumps.rows(named=True)] == lumps[
        "components"
    ].to_list()
    assert summary["success_mean_low"].null_count() == expected["success_mean_low"].null_count()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_name_is_a_formula_in_a_spreadsheet(start):
    name = start + 'cmd|"a", b\n<script>'
    read = pl.read_csv(as_csv(pl.DataFrame({"label": [name, "depth=2"], "mean": [float("nan"), -0.5]})))
    assert read.rows() == [("'" + name, None), ("depth=2", -0.5)]


def test_text_states_what_was_found(frame, page):
    text = text_of(page)
    ends = summarise(frame, threshold=0.35)
    assert "1 of 21 runs diverged." in text
    assert "machine 2 cores command python experiments/run.py" in text
    for row in ends.rows(named=True):
        assert f"{row['mean']:.2f} [{row['mean_low']:.2f}, {row['mean_high']:.2f}]" in text
    assert "The threshold of success is t = 0.35." in text
    assert "By the definition of Wei et al. (2022) exact match" in text
    assert re.search(r"One item is 0.0\d+ of the \d+-item test", text)
    assert "length 30: 1/121, length 40: 1/111." in text


def test_the_first_screen_states_the_finding(frame, page):
    """Before the first section: cells, seeds, items, P(success) of one test with intervals, one figure."""
    whole = page.read_text(encoding="utf-8")
    first = whole[whole.index('<section id="finding">') : whole.index('<section id="shape">')]
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", first)).split())
    assert text.startswith(
        "A study 7 seeds of each of 3 cells, from depth 1 to depth 4, were trained for 100 steps."
    )
    test = re.search(r"Final exact match at (length \d+); success is 0.35 or more", text)[1]
    for row in summarise(frame, threshold=0.35).filter(pl.col("test") == test).rows(named=True):
        interval = f"{row['success']:.2f} [{row['success_low']:.2f}, {row['success_high']:.2f}]"
        assert f"{row['label']} {row['seeds']} {row['trials']} {interval}" in text
    assert re.findall(r'data-chart="(\w+)"', first) == ["histograms"]


def test_the_index_leads_to_every_section(page):
    source = page.read_text(encoding="utf-8")
    names = re.findall(r'<li><a href="#([\w-]+)">', source)
    assert names[0] == "finding"
    assert {"shape", "scale", "training", "metrics", "diagnostics", "summary", "provenance"} <= set(names)
    assert all(source.count(f'<section id="{name}">') == 1 for name in names)
    folded = re.findall(r'<section id="([\w-]+)">\s*<details>', source)
    assert folded == ["diagnostics", "definitions", "provenance"]


def test_page_can_reach_nothing(page):
    source = page.read_text(encoding="utf-8")
    addresses = set(re.findall(r"""(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s"'`)\\;]*""", source))
    identifiers = ("http://www.w3.org/", "https://vega.github.io/schema/")
    # Two more are in the text of vega's own code: an editor behind a menu that is off, and a message.
    unused = ("https://vega.github.io/editor/", "https://github.com/vega/vega-lite/issues/")
    assert not [address for address in addresses if not address.startswith(identifiers + unused)]
    assert "actions: false" in source
    body = re.sub(r"<script.*?</script>", "", source, flags=re.DOTALL)
    body = re.sub(r'href="#[\w-]+"', "", body)
    body = re.sub(r'href="data:text/csv;charset=utf-8;base64,[\w+/=]+"', "", body)
    assert not re.findall(r"(?:src|href|action)\s*=|url\(|@import|<link|<iframe", body)
    assert "default-src 'none'" in body


def test_names_are_inert(tmp_path):
    frame = population_frame(
        [(2, 64), (2, 64)], 3, (30,), (0, 7), extra={"note": [STRANGE, "plain"]}
    ).with_columns(study=pl.lit(STRANGE), cell=pl.col("cell") + STRANGE, family=pl.lit(STRANGE))
    page = write_report(frame, tmp_path, title=STRANGE, details=[(STRANGE, STRANGE)])
    source = page.read_text(encoding="utf-8")
    assert source.count("</script>") == source.count("<script") == len(without("scale", "survival")) + 3
    assert "<img src=x" not in source
    embedded = "".join(re.findall(r'<script type="application/json".*?</script>', source, re.DOTALL))
    assert "\u2028" not in embedded
    shown = " ".join(printable(STRANGE).split())
    specs = json.dumps(specs_of(page), ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\")
    assert shown in specs
    assert shown in text_of(page)
    if CHROMIUM:
        seen = dumped(page, tmp_path)
        assert html.unescape(re.search(r"<title>(.*?)</title>", seen, re.DOTALL)[1]) == printable(STRANGE)
        assert "<img" not in re.sub(r"<script.*?</script>", "", seen, flags=re.DOTALL)
        assert seen.count('data-drawn="yes"') == len(without("scale", "survival"))


def only(metrics):
    return lambda frame: frame.filter(pl.col("metric").is_in(metrics))


def without(*names):
    """The figures left: ranks and curves need scales, distances several cells, survival a breakthrough."""
    scaled = ("emergence", "per_token", "induced", "resolution")
    gone = {*names, *(scaled if "scale" in names else ())}
    return [name for name in ALL if name not in gone]


PARTIAL = {
    "one cell": (lambda f: f.filter(pl.col("depth") == 2), without("scale", "distances")),
    "one seed": (
        lambda f: f.filter(pl.col("depth") == 2, pl.col("init_seed") == 0),
        without("scale", "distances", "correlations"),
    ),
    "one diverged seed": (
        lambda f: f.filter("diverged"),
        without("scale", "distances", "survival", "correlations"),
    ),
    "all diverged": (
        lambda f: f.with_columns(diverged=True, value=pl.lit(None, pl.Float64)),
        without("survival", "correlations"),
    ),
    "untrained": (
        lambda f: f.filter(pl.col("step") == 0),
        without("learning_curves", "survival", "training_loss", "correlations"),
    ),
    "no loss": (
        only(["exact_match"]),
        without("training_loss", "beside_the_loss", "per_token", "induced"),
    ),
    "training alone": (only(["train_loss", "grad_norm"]), ["training_loss"]),
    "nothing to draw": (only(["grad_norm"]), []),
    "no length": (
        lambda f: f.filter(pl.col("length").is_null() | (pl.col("length") == 30)).with_columns(
            length=pl.lit(None, pl.Int32)
        ),
        ALL,
    ),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_partial_results(frame, tmp_path, monkeypatch, case):
    monkeypatch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
    monkeypatch.setattr("jaxemerge.report.write.SCALE", 0.25)  # most of the time goes into pixels
    part, charts = PARTIAL[case]
    page = write_report(part(frame), tmp_path / "new" / "folder", title=case)
    assert list(specs_of(page)) == charts
    assert not re.search(r"\b(nan|None|null)\b", text_of(page))
    assert ("Exact match was not measured" in text_of(page)) == ("histograms" not in charts)


def rising(frame, *scores):
    """Every seed of a cell scores the same in the end."""
    counts = [int(121 * score) / 121 for score in scores]  # of 121 items
    depth = dict(zip(sorted(frame["depth"].unique()), counts, strict=True))
    planted = pl.col("depth").replace_strict(depth, return_dtype=pl.Float64)
    exact = pl.when(metric="exact_match").then(planted).otherwise("value")
    return frame.filter(step=100, length=30, diverged=False).with_columns(value=exact)


WEI = "By the definition of Wei et al. (2022) exact match"
WORDS = {
    "from 0": (
        (0.0, 0.0, 0.9),
        0.0,
        "emerges: it is at chance (0) up to a scale of 2 and well above it from 4",
    ),
    "from above 0": (
        (0.4, 0.4, 1.0),  # of six seeds: more than a mean of 0.54 is not sure
        0.4,
        "emerges: it is at chance (0.4) up to a scale of 2 and well above it",
    ),
    "half is not nothing": (
        (0.5, 0.5, 0.9),
        0.0,
        "does not emerge from chance (0): at the smallest scale it is above chance already.",
    ),
    "never": ((0.0, 0.0, 0.05), 0.0, "chance (0): at the largest scale it is not well above chance."),
    "up and down": (
        (0.0, 0.9, 0.0),
        0.0,
        "at the largest scale it is not well above chance, though it was at 2.",
    ),
    "down and up": (
        (0.9, 0.0, 0.9),
        0.0,
        "at the smallest scale it is above chance already, though it is back at it at 2.",
    ),
    "down": (
        (0.9, 0.9, 0.0),
        0.0,
        "above chance already, though it is back at it at 4, and at the largest scale it is not well above",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_emergence_is_told_from_the_tasks_chance(frame, case):
    scores, chance, words = WORDS[case]
    found = emergence(rising(frame, *scores), scale="depth", chance=chance)
    said = _verdict_words(found, "exact match")
    assert said.startswith(WEI)
    assert words in said


def test_sixteen_seeds_emerge_from_a_chance_of_a_half():
    """All right, 16 seeds bound their mean at .025^(1/16) = .794, .1 above a chance of .5; six at .541."""
    verdicts = []
    for seeds in (6, 16):
        frame = population_frame([(d, 64) for d in (1, 2, 4)], seeds, (30,), (0, 100), diverged=0)
        verdicts.append(
            _verdict_words(emergence(rising(frame, 0.5, 0.5, 1.0), scale="depth", chance=0.5), "score")
        )
    assert (
        "does not emerge from chance (0.5): at the largest scale it is not well above chance" in verdicts[0]
    )
    assert "emerges: it is at chance (0.5) up to a scale of 2 and well above it from 4" in verdicts[1]
    assert 0.025 ** (1 / 6) < 0.6 < 0.025 ** (1 / 16)


def test_a_fall_between_chance_and_success_is_told():
    frame = population_frame([(d, 64) for d in (1, 2, 4, 8)], 3, (30,), (0, 100), diverged=0)
    said = _verdict_words(emergence(rising(frame, 0, 0.9, 0, 0.9), scale="depth"), "exact match")
    assert "up to a scale of 1 and well above it from 8 on, with a fall in between." in said


def test_the_report_takes_the_chance_it_is_told(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
    monkeypatch.setattr("jaxemerge.report.write.SCALE", 0.25)
    page = write_report(rising(frame, 0.4, 0.4, 1.0), tmp_path, title="coin", chance=0.4)
    assert f"{WEI} emerges: it is at chance (0.4) up to a scale of 2" in text_of(page)


FALLS = [
    ("noise", [0.1, 0.3, 1, 3, 10], [8, 8, 5, 1, 0], "is success lost", ["half way down at noise 1."]),
    ("noise", [0, 0.3, 1, 3, 10], [8, 8, 5, 1, 0], "is success lost", ["outside the fits: noise 0"]),
    (
        "digits",
        [2, 3, 4, 5, 6],
        [8, 8, 8, 0, 0],
        "is success lost",
        ["half way down at digits 4.47 [4.02, 4.97]", "At no scale"],
    ),
    (
        "layers",
        [0, 1, 2, 4, 8],
        [0, 0, 2, 5, 8],
        "does success come",
        ["half way up", "outside the fits: layers"],
    ),
    ("weight_decay", [0, 1e-3, 0.1, 1, 10], [4, 3, 5, 4, 4], "", ["not determined", "decay 0."]),
    ("rate", [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], [1, 2, 6, 4, 2], "", ["At which rate P(success) is half way"]),
]


@pytest.mark.parametrize("case", FALLS, ids=lambda case: f"{case[0]} {case[1][0]}")
def test_the_direction_of_success_is_found_and_said(case, monkeypatch):
    monkeypatch.setattr("jaxemerge.report.scale.success_fit", partial(success_fit, resamples=9))
    scale, places, successes, title, words = case
    rows = {
        scale: [float(place) for place in places for _ in range(8)],
        "seed": list(range(8)) * 5,
        "value": [(0.7 if s < k else 0.05) + s / 100 for k in successes for s in range(8)],
    }
    frame = read_results(pl.DataFrame(rows), {"scale": scale})
    found = findings.focus(frame, "value", 0.2)
    [curve] = success_against_scale_fitted(frame, found, 0.2)
    [distances] = distances_between_cells(frame, found)
    text = curve.words + distances.words
    assert title in curve.heading
    assert all(said in text for said in words), text


def test_crossed_seeds_say_which_of_them_decides(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxemerge.report.mixtures.BOOTSTRAPS", 19)
    frame = population_frame([(2, 64)], 12, (30,), (0, 7), diverged=0)
    seed = pl.col("init_seed")
    planted = pl.when(pl.col("metric") == "exact_match").then((seed // 4) * 50 / 121).otherwise("value")
    crossed = frame.with_columns(value=planted, init_seed=seed // 4, data_seed=seed % 4)
    page = write_report(crossed, tmp_path, title="crossed")
    assert "variance" in specs_of(page)
    assert "init seed 100% [100%, 100%], data seed 0% [0%, 0%], both together 0% [0%, 0%]." in text_of(page)


def test_two_rankings_of_the_same_seeds_are_not_drawn_twice():
    """Of 7 seeds both rankings show the same ones; of 30 they differ."""
    for seeds, figures in ((7, 0), (30, 1)):
        frame = population_frame([(1, 64), (2, 64), (4, 64), (8, 64)], seeds, (30,), (0, 7), diverged=0)
        ends = final(frame.filter(pl.col("metric") == "exact_match"))
        assert len(list(single_seeds(ends, findings.focus(ends)))) == figures


def test_a_report_of_a_study_under_way_says_so_and_reloads(frame, page, tmp_path):
    short = frame.filter(pl.col("metric") == "grad_norm")
    again = write_report(short, tmp_path, title="A study", notes=["Under way."], reload=7.5)
    source = again.read_text(encoding="utf-8")
    assert '<meta http-equiv="refresh" content="7.5">' in source
    assert '<p class="headline">Under way. 7 seeds' in source
    assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")


def test_refuses_nothing_and_nonsense(frame, tmp_path):
    with pytest.raises(ValueError, match="the frame has no rows: there is nothing to report"):
        write_report(frame.clear(), tmp_path, title="")
    with pytest.raises(ValueError, match=r"threshold=20 must lie in \(0, 1\]"):
        write_report(frame, tmp_path, title="", threshold=20)
    assert not list(tmp_path.iterdir())


def dumped(page, tmp_path, *flags):
    """The page's elements after its scripts have run, as Chromium sees them from the file system."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=20000",
        *flags,
        "--dump-dom",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, timeout=120, check=True, encoding="utf-8").stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
def test_chromium_draws_every_chart(page, tmp_path):
    boxes = re.split(r'(?=<div class="chart)', dumped(page, tmp_path))[1:]
    assert [re.search(r'data-chart="(\w+)"', box)[1] for box in boxes] == ALL
    for box in boxes:
        opening = box[: box.index(">")]
        assert 'data-drawn="yes"' in opening
        assert "data-failed" not in opening
        assert len(re.findall(r"<path[^>]*aria-roledescription", box)) > 5


# Writes into the page where its parts are, once the charts are drawn.
MEASURE = """<script>setTimeout(() => {
  const box = part => part.getBoundingClientRect();
  const parts = [...document.querySelectorAll("h1, h2, h3, p, table, .chart")].filter(
    part => box(part).height && !part.closest("nav, details:not([open])"));
  const over = parts.filter((part, i) => i && box(part).top < box(parts[i - 1]).bottom - 1);
  document.body.dataset.fold = Math.round(box(document.getElementById("diagnostics")).top);
  document.body.dataset.headings = document.querySelectorAll("h3").length;
  document.body.dataset.overlaps = over.length;
  document.body.dataset.drawn = document.querySelectorAll("[data-drawn]").length;
  document.body.dataset.sideways = document.documentElement.scrollWidth - innerWidth;
}, 10000)</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
@pytest.mark.parametrize(("width", "screens"), [(500, 7), (900, 6), (1280, 6)])
def test_chromium_shows_it_in_few_screens_and_nothing_overlaps(page, tmp_path, width, screens):
    source, _, end = page.read_text(encoding="utf-8").rpartition("</body>")
    measured = tmp_path / "measured.html"
    measured.write_text(re.sub(r"<meta http-equiv[^>]*>", "", source) + MEASURE + end, encoding="utf-8")
    body = re.search(r"<body[^>]*>", dumped(measured, tmp_path, f"--window-size={width},1000"))[0]
    seen = {name: int(value) for name, value in re.findall(r'data-(\w+)="(-?\d+)"', body)}
    assert seen["headings"] == len(ALL)
    assert seen["drawn"] == len(ALL)
    assert seen["overlaps"] == 0
    assert seen["sideways"] <= 0
    assert seen["fold"] <= 1000 * screens


# Waits for the charts, then clicks a seed's line twice, and notes after each click which charts mark it.
CLICK = """<script>setTimeout(() => {
  const chart = document.querySelector("[data-chart=learning_curves]");
  const line = [...chart.querySelectorAll("path")].find(path => [path.__data__].flat()[0]?.datum?.run);
  chart.scrollIntoView();
  const click = () => {
    const place = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
    chart.dispatchEvent(new MouseEvent("click", {clientX: place.x + 2, clientY: place.y, bubbles: true}));
  };
  const note = name => setTimeout(() => {
    const marks = [...document.querySelectorAll("[data-chart]")].filter(
      box => box.querySelector("[stroke='#cc79a7'], [fill='#cc79a7']"));
    document.body.dataset[name] = marks.map(box => box.dataset.chart).join(" ");
    document.body.dataset[name + "Said"] = document.getElementById("marked").textContent;
    click();
  }, name === "once" ? 1000 : 2000);
  click(); note("once"); note("twice");
}, 8000)</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
def test_a_seed_clicked_in_one_chart_is_marked_in_the_others(page, tmp_path):
    source, _, end = page.read_text(encoding="utf-8").rpartition("</body>")
    clicked = tmp_path / "clicked.html"
    clicked.write_text(re.sub(r"<meta http-equiv[^>]*>", "", source) + CLICK + end, encoding="utf-8")
    body = re.search(r"<body[^>]*>", dumped(clicked, tmp_path, "--window-size=1280,1000"))[0]
    seen = dict(re.findall(r'data-([\w-]+)="([^"]*)"', body))
    assert seen["once"].split() == ["learning_curves", "training_loss", "violins"]
    assert re.match(r"seed \d+ is marked in every chart", seen["once-said"])
    assert seen["twice"] == ""
    assert seen["twice-said"].startswith("Click a seed")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
def test_chromium_shows_what_went_wrong(page, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text(encoding="utf-8").replace('"mark":', '"marc":'), encoding="utf-8")
    assert dumped(broken, tmp_path).count("This chart could not be drawn: ") > 1
