"""These tests write reports in passing."""

from whole_programs import coarse_reports as coarse_reports
