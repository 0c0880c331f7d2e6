"""What the cascade would not decide alone, and a share of what it did, is put to people; their verdicts become gold.

Knows nothing about models, thresholds or how people are asked.
"""

from rung.review.drawing import draw, looks_again
from rung.review.settling import ReviewError, Waiting, gold_lines, settle, waiting

__all__ = ["ReviewError", "Waiting", "draw", "gold_lines", "looks_again", "settle", "waiting"]
