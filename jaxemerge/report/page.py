"""One self-contained HTML page of figures and tables: no network, no other files, only its own scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import polars as pl
import vl_convert
from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A chart with its heading and text.

    Attributes:
        name: of its files, and its anchor in the page.
        heading: what it answers.
        words: one paragraph: how to read it and what it shows.
        spec: Vega-Lite specification as JSON; empty if there is nothing to draw.
        table: the numbers found, offered as CSV beside the chart; None where there is none.
    """

    name: str
    heading: str
    words: str
    spec: str
    table: pl.DataFrame | None = None


@dataclass(frozen=True)
class Section:
    """Figures on one question.

    Attributes:
        name: its anchor in the page.
        heading: also in the index.
        figures: at least one.
        folded: whether the page shows them only when asked to.
    """

    name: str
    heading: str
    figures: tuple[Figure, ...]
    folded: bool = False


@dataclass(frozen=True)
class Contents:
    """What a page shows, from its first screen to its details.

    Attributes:
        headline: sentences of its first paragraph.
        lead: the figure on the first screen, or None if there is nothing to draw.
        sections: in their order; none of them empty.
        table: `jaxemerge.analysis.summarise` of every cell and test; empty where nothing has scores.
        test: the test of the first screen's table.
        success: what counts as success.
    """

    headline: list[str]
    lead: Figure | None
    sections: tuple[Section, ...]
    table: pl.DataFrame
    test: str = ""
    success: str = ""

    @property
    def figures(self) -> list[Figure]:
        """All of them, in their order."""
        first = [] if self.lead is None else [self.lead]
        return first + [figure for section in self.sections for figure in section.figures]


def figure(name: str, heading: str, words: str, chart: Any, table: pl.DataFrame | None = None) -> Figure:
    """A figure of a chart."""
    # The charts write null for NaN; a NaN that got past them would be a page that no browser reads.
    return Figure(name, heading, words, json.dumps(chart.to_dict(), allow_nan=False), table)


def plain(name: str, heading: str, words: str) -> Figure:
    """A paragraph without a chart."""
    return Figure(name, heading, words, "")


# A cell that begins with one of these is a formula to a spreadsheet; a quote before it makes it text.
_FORMULA = r"^[=+\-@\t\r]"


def as_csv(table: pl.DataFrame) -> bytes:
    """A table in UTF-8 with a header; null and NaN are empty, the numbers of a list have spaces between."""
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    flat = table.with_columns(
        pl.selectors.float().fill_nan(None),
        pl.col(lists).list.eval(pl.element().cast(pl.String)).list.join(" "),
    )
    safe = flat.with_columns(pl.selectors.string().str.replace(_FORMULA, "'$0"))
    return safe.rename(lambda name: re.sub(_FORMULA, r"'\g<0>", name)).write_csv().encode()


def as_link(csv: bytes) -> str:
    """An address that holds the whole file: a page needs no network to offer it."""
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(csv).decode()}"


# What would end a script element, open a comment or end a line of JavaScript inside a string of JSON.
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


# Figures of Zhao et al. 2025 (arXiv:2502.17356) that show the same.
PAPER = {"rank": "1", "violins": "2", "success_against_scale": "3", "histograms": "4 to 6"}

# Draws every chart and marks in the page whether it worked, so that failures are visible to readers and
# tests. A click on one seed's dot or line marks the seed in every chart, a second click takes the mark away.
DRAW = """
const NEAR = [0, 0, 2, 0, -2, 0, 0, 2, 0, -2, 4, 0, -4, 0, 0, 4, 0, -4];  // a line is thinner than a finger
const views = [];
let marked = "";
function seedAt(x, y) {
  for (let i = 0; i < NEAR.length; i += 2) {
    const element = document.elementFromPoint(x + NEAR[i], y + NEAR[i + 1]);
    const item = element && [element.__data__].flat()[0];
    if (item && item.datum && item.datum.run) return item.datum.run;
  }
}
function mark(seed) {
  marked = seed;
  for (const view of views) view.signal("marked", seed).run();
  document.getElementById("marked").textContent =
    seed ? seed + " is marked in every chart that shows seeds; click it again to unmark it."
         : "Click a seed\u2019s line or dot to mark the seed in every chart.";
}
for (const box of document.querySelectorAll("[data-chart]")) {
  const fail = error => {
    box.dataset.failed = "yes";
    box.textContent = "This chart could not be drawn: " + error;
  };
  try {
    const spec = JSON.parse(document.getElementById("spec-" + box.dataset.chart).textContent);
    vegaEmbed(box, spec, {actions: false, renderer: "svg", ast: true}).then(({view}) => {
      box.dataset.drawn = "yes";
      if (!(spec.params || []).some(param => param.name === "marked")) return;
      views.push(view);
      mark(marked);
      box.addEventListener("click", event => {
        const seed = seedAt(event.clientX, event.clientY);
        if (seed) mark(seed === marked ? "" : seed);
      });
    }).catch(fail);
  } catch (error) { fail(error); }
}
"""

# Marks in the index the section that is read; opens what is folded to show where a link leads, and to print.
FOLLOW = """
const links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
const shown = new Set();
const follow = new IntersectionObserver(entries => {
  for (const entry of entries) shown[entry.isIntersecting ? "add" : "delete"](entry.target.id);
  const now = [...links.keys()].find(name => shown.has(name));
  links.forEach((link, name) => link.classList.toggle("now", name === now));
}, {rootMargin: "-10% 0px -60% 0px"});
links.forEach((link, name) => follow.observe(document.getElementById(name)));
function reveal() {
  const place = document.getElementById(location.hash.slice(1));
  if (!place) return;
  for (let part = place; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  place.querySelectorAll(":scope > details").forEach(part => { part.open = true; });
  place.scrollIntoView();
}
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach(part => { part.open = true; });
});
reveal();
"""


def page(**contents: Any) -> str:
    """The page's HTML; ``contents`` are the names its template uses."""
    source = (files(__package__) / "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["embedded"] = lambda text: Markup(text.translate(UNSAFE))
    environment.filters["score"] = lambda number: "\u2013" if number is None else f"{number:.2f}"
    # The bundle is vega's own code; the policy below lets no other script run, nor anything be fetched.
    scripts = [Markup(_vega()), Markup(DRAW), Markup(FOLLOW)]
    return environment.from_string(source).render(
        **contents,
        paper=PAPER,
        scripts=scripts,
        policy=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
    )


@cache
def _vega() -> str:
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
