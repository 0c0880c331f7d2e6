"""The recipes that give a specialist an encoder of its own: lessons and weights in, weights out. They need PyTorch.

Each is deterministic, keeps its courses in a folder, and goes on from the last epoch there when it is called again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rung.training.course import Plan, plan_epochs, run_course
from rung.training.learner import Batch, Learner, Said, unlike
from rung.training.lessons import Lessons
from rung.training.pruning import shrink
from rung.workload import SpecialistTier

Weights = Mapping[str, NDArray[np.float32]]
Advance = Callable[[int], None]

_torch = cast(Any, torch)

ADAPTER_RATE = 1e-3  # adapters start at nothing and are a sixteenth of the weights


class Recipe(Protocol):
    """From lessons and the weights to start from to new weights, with the tier's settings."""

    def __call__(self, lessons: Lessons, start: Weights, tier: SpecialistTier, folder: Path, advance: Advance) -> Weights:
        """`folder` keeps what an interruption must not cost; `advance` is told of every batch's windows."""
        ...


def finetune(lessons: Lessons, start: Weights, tier: SpecialistTier, folder: Path, advance: Advance) -> Weights:
    """All layers, labels and spans together."""
    return _tuned(lessons, start, folder, advance).body.weights()


def lora(lessons: Lessons, start: Weights, tier: SpecialistTier, folder: Path, advance: Advance) -> Weights:
    """Low-rank adapters on every dense layer, merged into it at the end."""
    from rung.training.adapters import adapt, merge  # PEFT takes as long to load as PyTorch

    learner = _begin(start, lessons)
    adapt(learner.body)
    run_course(learner, lessons, Plan(plan_epochs(lessons), ADAPTER_RATE), folder / "lora", advance)
    merge(learner.body)
    return learner.body.weights()


def distil(lessons: Lessons, start: Weights, tier: SpecialistTier, folder: Path, advance: Advance) -> Weights:
    """A student with `tier.layers` of a tuned encoder's layers, taught by that encoder: its opinions, its embeddings, its
    states; also from texts without an answer. A student that goes on from what it was needs no teacher any more."""
    if lessons.again:
        return finetune(lessons, start, tier, folder, advance)
    teacher = _tuned(lessons, start, folder, advance)
    weights = teacher.body.weights()
    kept = np.linspace(0, len(teacher.body.layers) - 1, tier.layers).round().astype(int).tolist()
    names = {f"encoder.layer.{layer}.": f"encoder.layer.{place}." for place, layer in enumerate(kept)}
    fewer = {name: tensor for name, tensor in weights.items() if not name.startswith("encoder.layer.")}
    for old, new in names.items():
        fewer |= {name.replace(old, new, 1): tensor for name, tensor in weights.items() if name.startswith(old)}
    return _taught(lessons, fewer, teacher, folder / f"distil-{tier.layers}-{_tail(lessons)}", advance)


def prune(lessons: Lessons, start: Weights, tier: SpecialistTier, folder: Path, advance: Advance) -> Weights:
    """A tuned encoder without what matters least to it, about `tier.keep` of its layers' weights, taught by what it was. It is
    pruned once: what goes on from it keeps its shape."""
    if lessons.again:
        return finetune(lessons, start, tier, folder, advance)
    teacher = _tuned(lessons, start, folder, advance)
    return _taught(lessons, shrink(teacher, lessons, tier.keep), teacher, folder / f"prune-{tier.keep}-{_tail(lessons)}", advance)


RECIPES: Mapping[str, Recipe] = {"finetune": finetune, "lora": lora, "distil": distil, "prune": prune}


def count_windows(recipe: str, lessons: Lessons) -> int:
    """How many windows a recipe's courses go through at most, for a progress bar."""
    taught, unlabelled = (sum(bool(mask[window.text]) for window in lessons.windows) for mask in (lessons.taught, ~lessons.held))
    return plan_epochs(lessons) * (taught + unlabelled if recipe in ("distil", "prune") else taught)


def _tail(lessons: Lessons) -> str:
    """Part of a course's folder: with other unlabelled texts it is another course, under the same teacher."""
    return lessons.digest()[:8]


def _begin(start: Weights, lessons: Lessons) -> Learner:
    _torch.manual_seed(0)
    return Learner(start, lessons)


def _tuned(lessons: Lessons, start: Weights, folder: Path, advance: Advance) -> Learner:
    """A learner after the course `finetune`: recipes that need one in the same folder share it."""
    learner = _begin(start, lessons)
    run_course(learner, lessons, Plan(plan_epochs(lessons)), folder / "finetune", advance)
    return learner


def _taught(lessons: Lessons, start: Weights, teacher: Learner, folder: Path, advance: Advance) -> Weights:
    """A smaller learner, with the teacher's heads to begin with, after a course under the teacher's eyes."""
    learner = _begin(start, lessons)
    learner.labels.load_state_dict(teacher.labels.state_dict())  # pyright: ignore[reportUnknownMemberType]
    if learner.tags is not None and teacher.tags is not None:
        learner.tags.load_state_dict(teacher.tags.state_dict())  # pyright: ignore[reportUnknownMemberType]

    def both(student: Learner, said: Said, batch: Batch) -> Tensor:
        with torch.no_grad():
            shown: Said = teacher.eval()(batch)
        return student.wrong(said, batch) + unlike(said, shown, batch)

    run_course(learner, lessons, Plan(plan_epochs(lessons), objective=both, unlabelled=True), folder, advance)
    return learner.body.weights()
