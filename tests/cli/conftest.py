"""These tests write reports in passing."""

from coarse_reports import coarse_reports as coarse_reports
