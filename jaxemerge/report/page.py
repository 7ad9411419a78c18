"""One offline HTML page: no network, nothing beside it, and no script but its own."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

# What would end a script element, open a comment or end a line of JavaScript inside a string of JSON.
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
# Draws every chart and says in the page whether it worked: tests and readers can tell a blank from a failure.
DRAW = """
for (const box of document.querySelectorAll("[data-chart]")) {
  const fail = error => {
    box.dataset.failed = "yes";
    box.textContent = "This chart could not be drawn: " + error;
  };
  try {
    const spec = JSON.parse(document.getElementById("spec-" + box.dataset.chart).textContent);
    vegaEmbed(box, spec, {actions: false, renderer: "svg", ast: true})
      .then(() => { box.dataset.drawn = "yes"; }).catch(fail);
  } catch (error) { fail(error); }
}
"""


def page(**contents: Any) -> str:
    """The page's HTML; ``contents`` are the names its template uses."""
    source = (files(__package__) / "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["embedded"] = lambda text: Markup(text.translate(UNSAFE))
    environment.filters["score"] = lambda number: "\u2013" if number is None else f"{number:.2f}"
    # The bundle is vega's own code; the policy below lets no other script run, nor anything be fetched.
    scripts = [Markup(_vega()), Markup(DRAW)]
    return environment.from_string(source).render(
        **contents, scripts=scripts, policy=" ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    )


@cache
def _vega() -> str:
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
