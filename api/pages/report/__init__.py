"""The report that ``autorag tune`` writes at its end: one HTML page that loads nothing else."""

from api.pages.report.render import render_report
from api.pages.report.study import ReportStudy

__all__ = ["ReportStudy", "render_report"]
