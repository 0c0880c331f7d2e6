"""Turns what is recorded in production into what its owners must know: the split, the promise, drift and money.

Knows nothing about SQL, models, terminals or HTTP.
"""

from rung.monitor.report import Rate, Report, report

__all__ = ["Rate", "Report", "report"]
