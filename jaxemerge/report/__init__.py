"""How is a study shown? As one offline HTML page whose sentences state what was found, with charts."""

from .write import report_damage as report_damage
from .write import write_report as write_report
