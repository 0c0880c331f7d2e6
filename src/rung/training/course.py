"""Trains a learner on lessons until held-out cases gain nothing: epochs, averaged weights, and a checkpoint after each epoch.

Knows nothing about recipes. Each epoch's chance follows from its number alone, so that an interrupted course goes on from its
last epoch to the same weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rung.training.learner import Batch, Learner, Said, collate
from rung.training.lessons import Lessons, Window

_torch = cast(Any, torch)

Objective = Callable[[Learner, Said, Batch], Tensor]

CASES = 100_000  # how often a course looks at a case, all epochs together
FEWEST, MOST = 12, 25  # epochs
AGAIN = 4
PATIENCE = 3  # epochs without a gain
TOKENS = 512  # in a batch, padding included
WINDOWS = 32
RATE = 3e-4
HEAD_RATE = 1e-3
WARM = 0.06  # of the steps: the rate rises, then falls to nothing
CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a course goes: `epochs` at most, `rate` for the encoder's weights, the loss to lessen, and whether texts without an
    answer teach too."""

    epochs: int
    rate: float = RATE
    objective: Objective = Learner.wrong
    unlabelled: bool = False


@dataclass(slots=True)
class _Progress:
    """How far a course is: `epoch` is the next one, `best` the highest score on held-out cases and `since` the epochs since."""

    epoch: int = 0
    best: float = -1.0
    since: int = 0
    finished: bool = False


def plan_epochs(lessons: Lessons) -> int:
    """Few cases are looked at more often; what adds to an earlier course takes `AGAIN` epochs."""
    count = max(int(lessons.taught.sum()), 1)
    return AGAIN if lessons.again else int(np.clip(round(CASES / count), FEWEST, MOST))


def run_course(
    learner: Learner, lessons: Lessons, plan: Plan, folder: Path, progress: Callable[[int], None] = lambda windows: None
) -> None:
    """Train `learner` in place: afterwards it has the averaged weights that were best on held-out cases. Deterministic.

    `folder` keeps the course's checkpoint: a repeated call with the same lessons goes on where the last one stopped.
    `progress` is told of every batch's windows.
    """
    taught = ~lessons.held if plan.unlabelled else lessons.taught
    windows = [window for window in lessons.windows if taught[window.text]]
    held = [window for window in lessons.windows if lessons.held[window.text]]
    course = _Course(learner, plan, folder, sum(1 for _ in cut(windows, 0)))
    state = course.resume()
    progress(state.epoch * len(windows))
    while state.epoch < plan.epochs and state.since < PATIENCE:
        _torch.manual_seed(1 + state.epoch)
        learner.train()
        for batch in cut(windows, state.epoch):
            course.learn(collate(batch, lessons))
            progress(len(batch))
        state.epoch += 1
        course.judge(state, lambda: score(learner, held, lessons))
        course.keep(state)
    course.finish(state)
    learner.eval()


class _Course:
    """The optimiser, the weights' running average, and the best average so far."""

    def __init__(self, learner: Learner, plan: Plan, folder: Path, steps: int) -> None:
        self._learner, self._plan, self._folder = learner, plan, folder
        self._named = {name: weight for name, weight in learner.named_parameters() if weight.requires_grad}
        body = [weight for name, weight in self._named.items() if name.startswith("body.")]
        heads = [weight for name, weight in self._named.items() if not name.startswith("body.")]
        groups = [{"params": body, "most": plan.rate}, {"params": heads, "most": HEAD_RATE}]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
        self._steps, self._done = max(steps * plan.epochs, 1), 0
        self._decay = 1 - min(0.1, 10 / self._steps)
        self._mean = {name: weight.detach().clone() for name, weight in self._named.items()}
        self._best = {name: weight.clone() for name, weight in self._mean.items()}

    def learn(self, batch: Batch) -> None:
        share = self._done / self._steps
        for group in self._optimiser.param_groups:
            group["lr"] = group["most"] * max(min(share / WARM, (1 - share) / (1 - WARM)), 0.0)
        loss = self._plan.objective(self._learner, self._learner(batch), batch)
        if loss.requires_grad:  # else nothing in the batch has an answer
            loss.backward()  # pyright: ignore[reportUnknownMemberType]
            nn.utils.clip_grad_norm_(self._named.values(), CLIP, error_if_nonfinite=True)
            cast(Any, self._optimiser).step()
            self._optimiser.zero_grad()
        self._done += 1
        with torch.no_grad():
            for name, weight in self._named.items():
                self._mean[name].lerp_(weight, 1 - min(self._decay, self._done / (self._done + 9)))

    def judge(self, state: _Progress, measure: Callable[[], float]) -> None:
        """Measure the average, and remember it if none was better before."""
        now = {name: weight.detach().clone() for name, weight in self._named.items()}
        self._put(self._mean)
        found = measure()
        self._put(now)
        state.since += 1
        state.since = 0 if found > state.best else state.since
        if found >= state.best:  # of equals the later one, which has seen more
            state.best = found
            self._best = {name: weight.clone() for name, weight in self._mean.items()}

    def keep(self, state: _Progress) -> None:
        tensors = {f"now.{name}": weight.detach() for name, weight in self._named.items()}
        tensors |= {f"mean.{name}": weight for name, weight in self._mean.items()}
        tensors |= {f"best.{name}": weight for name, weight in self._best.items()}
        for name, weight in self._named.items():
            tensors |= {f"adam.{key}.{name}": value for key, value in self._optimiser.state[weight].items()}
        self._save(tensors, {"epoch": state.epoch, "best": repr(state.best), "since": state.since, "done": self._done})

    def _save(self, tensors: dict[str, Tensor], said: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / "course.draft"
        save_file(tensors, draft, metadata={"course": json.dumps(said)})
        os.replace(draft, self._folder / "course.safetensors")

    def resume(self) -> _Progress:
        """Where the last call stopped; the beginning where there was none or its checkpoint is damaged."""
        file = self._folder / "course.safetensors"
        try:
            with safe_open(file, "pt") as opened:
                said = json.loads(opened.metadata()["course"])
            tensors = load_file(file)
            self._best = {name: tensors[f"best.{name}"] for name in self._named}
            if "finished" in said:
                return _Progress(self._plan.epochs, finished=True)
            now, self._mean = ({name: tensors[f"{kind}.{name}"] for name in self._named} for kind in ("now", "mean"))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return _Progress()
        self._put(now)
        for name, weight in self._named.items():
            keys = ("step", "exp_avg", "exp_avg_sq")
            own = {key: tensors[f"adam.{key}.{name}"] for key in keys if f"adam.{key}.{name}" in tensors}
            if own:
                self._optimiser.state[weight] = own
        self._done = int(said["done"])
        return _Progress(int(said["epoch"]), float(said["best"]), int(said["since"]))

    def finish(self, state: _Progress) -> None:
        """Settle for the best average, and keep no more than that, unless it was kept so before."""
        self._put(self._best)
        if not state.finished:
            self._save({f"best.{name}": weight for name, weight in self._best.items()}, {"epoch": state.epoch, "finished": True})

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self._named.items():
                weight.copy_(weights[name])


def cut(windows: Sequence[Window], epoch: int) -> Iterator[list[Window]]:
    """The windows in batches of similar length, in an order of the epoch's own."""
    draw = np.random.default_rng((1, epoch))
    lengths = np.array([len(window.tokens) for window in windows])
    order: list[int] = np.argsort(lengths + draw.uniform(0, 1 + 0.2 * lengths), kind="stable").tolist()
    batches: list[list[Window]] = [[]]
    longest = 0
    for at in order:
        longest = max(longest, len(windows[at].tokens))
        if batches[-1] and (longest * (len(batches[-1]) + 1) > TOKENS or len(batches[-1]) == WINDOWS):
            batches.append([])
            longest = len(windows[at].tokens)
        batches[-1].append(windows[at])
    places: list[int] = draw.permutation(len(batches)).tolist()
    return iter([batches[place] for place in places if batches[place]])


def score(learner: Learner, windows: Sequence[Window], lessons: Lessons) -> float:
    """How much of held-out cases is right: the mean of every label field's accuracy, and of the F1 of words' tags."""
    learner.eval()
    right, asked = np.zeros(len(lessons.sizes)), 0
    both = found = wanted = 0
    with torch.no_grad():
        for batch in _plain(windows):
            tensors = collate(batch, lessons)
            said: Said = learner(tensors)
            first = torch.tensor([window.first for window in batch])
            for field, logits in enumerate(said.labels):
                right[field] += int((logits.argmax(dim=-1) == tensors.labels[:, field])[first].sum())
            asked += int(first.sum())
            if said.tags is not None:
                tags, known = said.tags.argmax(dim=-1), tensors.tags >= 0
                both += int(((tags == tensors.tags) & (tags > 0) & known).sum())
                found, wanted = found + int(((tags > 0) & known).sum()), wanted + int((tensors.tags > 0).sum())
    scores = [float(count) / max(asked, 1) for count in right] + ([2 * both / max(found + wanted, 1)] if lessons.tags else [])
    return float(np.mean(scores)) if scores else 0.0


def _plain(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    ordered = sorted(windows, key=lambda window: len(window.tokens))
    return (ordered[start : start + WINDOWS] for start in range(0, len(ordered), WINDOWS))
