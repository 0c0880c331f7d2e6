"""What the cascade would not decide alone, and a share of what it did, is put to people; their verdicts become gold.

Knows nothing about how cases are decided, or on which pages people are asked.
"""

from rung.review.candidates import gold_lines
from rung.review.copied import Copied, open_finder
from rung.review.drawing import draw, looks_again
from rung.review.likeness import Like, lookalikes, similar
from rung.review.pairs import agreement
from rung.review.questions import Asked, Question, Try, best_attempt, guidelines, open_questions, question
from rung.review.settling import ReviewError, Waiting, settle, settle_review, undo, waiting

__all__ = [
    "Asked",
    "Copied",
    "Like",
    "Question",
    "ReviewError",
    "Try",
    "Waiting",
    "agreement",
    "best_attempt",
    "draw",
    "gold_lines",
    "guidelines",
    "lookalikes",
    "looks_again",
    "open_finder",
    "open_questions",
    "question",
    "settle",
    "settle_review",
    "similar",
    "undo",
    "waiting",
]
