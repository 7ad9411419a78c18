"""These tests write reports in passing, and train what is not looked at more closely."""

from whole_programs import coarse_reports as coarse_reports
from whole_programs import quick_compilation as quick_compilation
