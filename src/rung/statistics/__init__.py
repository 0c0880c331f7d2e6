"""Exact, paired, resampled and sequential statistics: numbers in, bounds and decisions out, nothing of Rung known."""
