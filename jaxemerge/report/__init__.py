"""A study as one offline HTML page whose sentences state what was found, with charts.

    write_report(frame, "out", title="Counting")   # out/report.html, out/charts/, out/tables/

The frame has the columns of the results schema; `jaxemerge.analysis.read_results` makes one from results
of any origin. Success is a score of at least ``threshold``.

    write_report     writes the page, every chart as PNG and SVG, and every table as CSV
    report_damage    lists the files of a report that differ from what was written
    source_digest    digest of what a report is made from
    is_current       whether a report is whole and was made from just that
"""

from .manifest import is_current as is_current
from .manifest import report_damage as report_damage
from .manifest import source_digest as source_digest
from .write import write_report as write_report
