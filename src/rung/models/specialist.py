"""Turns a text into every label and copy field in one pass: the embedded encoder with heads. Knows nothing about training.

One kernel machine serves all label fields. A text is compared with the anchors, the texts it was trained on, by a Gaussian
kernel on their embeddings (which knows what is meant) plus a linear kernel on their n-grams (which knows the wording):

    score = smooth * exp(width * (cosine - 1)) @ dual + ngrams @ sparse          [labels of all fields]

Both halves are kept apart as signals: where they disagree, caution is due.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite, prod
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

from rung.batching import Batcher
from rung.core import Answer, Case, Problem, RungError
from rung.models.calibration import Calibration, logit
from rung.models.copying import Found, open_copier
from rung.models.encoder import ENCODER_FILES, WIDTH, Encoder, EncoderError, open_own
from rung.models.extraction import Extraction, Extractor, Habits, learnt
from rung.models.ngrams import BUCKETS, Sparse, ngrams
from rung.models.tagger import Network, Tagger
from rung.workload import Field

Array = NDArray[np.float32]

_BLAS = cast(Any, ThreadpoolController)()
_SCORING = Lock()  # the number of BLAS threads is the process's: one at a time may lower it and put it back

SHARPNESS = 12.0  # turns scores, which lie around 0..1, into odds; the calibration sees to the rest
LARGEST_BATCH = 16  # two at once: one's Python runs beside the other's encoding

LABEL_SIGNALS = (
    "top",
    "margin",
    "log_margin",
    "third",
    "calm",
    "odds",
    "smooth_margin",
    "sparse_margin",
    "prior",
    "nearest",
    "trust",
)


class ArtefactError(RungError):
    """A model's files are damaged, incomplete, or made for another encoder."""

    code = "artefact_unusable"


@dataclass(frozen=True, slots=True)
class Kernel:
    """How texts are compared: the Gaussian kernel's height and width, and the ridge that training adds."""

    smooth: float
    width: float
    ridge: float

    def compare(self, cosines: Array) -> Array:
        """The Gaussian half, from the embeddings' cosines: on the unit sphere the cosine is the distance."""
        return np.float32(self.smooth) * np.exp(np.float32(self.width) * (cosines - 1))


@dataclass(frozen=True, slots=True)
class Machine:
    """`anchors` [n, 384], `dual` [n, labels], `sparse` [used + 1, labels]; `rows` [BUCKETS] names each bucket's row in
    `sparse`, 0 (all zeros) for buckets that training never saw; `owners` [n, fields] is each anchor's label in each field."""

    kernel: Kernel
    anchors: Array
    owners: NDArray[np.int32]
    dual: Array
    rows: NDArray[np.int32]
    sparse: Array

    def score(self, embeddings: Array, grams: Sequence[Sparse]) -> tuple[Array, Array, Array]:
        """Smooth and sparse scores [texts, labels], and the texts' cosines with the anchors [texts, n]."""
        cosines = embeddings @ self.anchors.T
        smooth: Array = self.kernel.compare(cosines) @ self.dual
        sparse: Array = np.stack([weights @ self.sparse[self.rows[buckets]] for buckets, weights in grams])
        return smooth, sparse, cosines


@dataclass(frozen=True, slots=True)
class LabelHead:
    """One label field: its labels, the log-odds that each is right when chosen, and its calibration."""

    field: str
    labels: tuple[Any, ...]
    prior: tuple[float, ...]
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class CopyHead:
    """One copy field and its calibration."""

    field: str
    calibration: Calibration


def read_labels(
    smooth: Array, sparse: Array, cosines: Array, owners: NDArray[np.int32], prior: Sequence[float]
) -> tuple[NDArray[np.intp], Array]:
    """One field's choices [texts] and their signals [texts, LABEL_SIGNALS] from its scores [texts, labels], the cosines with the
    anchors [texts, n], and the anchors' labels [n].

    "trust" is how much nearer the nearest anchor with the chosen label is than the nearest with another (after Jiang, Kim,
    Guan, Gupta 2018, "To trust or not to trust a classifier", section 3).
    """
    scores = smooth + sparse
    row = np.arange(len(scores))
    order = np.argsort(-scores, axis=1)
    first, second, third = order[:, 0], order[:, 1], order[:, min(2, scores.shape[1] - 1)]
    shares = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
    shares /= shares.sum(axis=1, keepdims=True)
    margin = scores[row, first] - scores[row, second]
    top_share = np.clip(shares[row, first], 1e-6, 1 - 1e-6)
    ours = owners == first[:, None]
    signals = [
        scores[row, first],
        margin,
        np.log(np.maximum(margin, 1e-3)),
        scores[row, first] - scores[row, third],
        (shares * np.log(shares + 1e-12)).sum(axis=1),
        np.log(top_share / (1 - top_share)),
        _lead(smooth, first),
        _lead(sparse, first),
        np.asarray(prior, np.float32)[first],
        cosines.max(axis=1),
        _nearest(cosines, ours) - _nearest(cosines, ~ours),
    ]
    return first, np.stack(signals, axis=1).astype(np.float32)


def name_signals(signals: Array) -> list[dict[str, float]]:
    """Rows of `read_labels` [texts, LABEL_SIGNALS] with their names."""
    rows: list[list[float]] = signals.tolist()
    return [dict[str, float](zip(LABEL_SIGNALS, row, strict=True)) for row in rows]


def _nearest(cosines: Array, among: NDArray[np.bool_]) -> Array:
    """The largest cosine among some anchors [texts]; 0, at right angles, where nothing is nearer."""
    return np.where(among, cosines, 0).max(axis=1)


def _lead(scores: Array, choice: NDArray[np.intp]) -> Array:
    """How far the chosen label lies ahead of the best other one; negative where another is ahead."""
    row = np.arange(len(scores))
    others = scores.copy()
    others[row, choice] = -np.inf
    lead: Array = scores[row, choice] - others.max(axis=1)
    return lead


def record_signals(confidence: Mapping[str, float]) -> dict[str, float]:
    """What a tier's calibration is told about a whole answer, from its fields' probabilities."""
    return {"weakest": logit(min(confidence.values())), "joint": logit(prod(confidence.values()))}


class Specialist:
    """The encoder with heads, a `core.Model`. Concurrent cases share forward passes; a lone case does not wait for others."""

    def __init__(
        self,
        encoder: Encoder,
        labelling: tuple[Machine, Sequence[LabelHead]] | None,
        copies: Sequence[CopyHead],
        fields: Sequence[Field],
        extractor: Extractor | None = None,
    ) -> None:
        """`fields` are the workload's, in the answer's order; template fields are left to the cascade. `labelling` fills label
        fields and `extractor` learnt copy fields, where there are any."""
        self.encoder = encoder
        self._machine, labels = labelling or (None, ())
        self._extractor = extractor
        self._labels = {head.field: head for head in labels}
        self._copies = {head.field: head for head in copies}
        self._order = [field.name for field in fields if field.name in self._labels or field.name in self._copies]
        self._copiers = {field.name: open_copier(field) for field in fields if field.fill == "copy" and not learnt(field)}
        self._batcher: Batcher[str, Answer] | None = None

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Every label and copy field; objections change nothing: the same text gives the same answer."""
        if self._batcher is None:
            self._batcher = Batcher(self.answer_all, LARGEST_BATCH, "specialist", abreast=2)
        return await self._batcher.submit(case.text)

    async def close(self) -> None:
        """Finish what is under way and end the thread."""
        if self._batcher is not None:
            await self._batcher.close()
            self._batcher = None

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to a batch of texts, in order."""
        if self._extractor is None:
            embeddings, found = self.encoder.embed(texts), [dict[str, Found]()] * len(texts)
        else:
            embeddings, words = self.encoder.read(texts)
            with lone_blas():
                found = self._extractor.fill_all(texts, words)
        labelled = self._label_all(texts, embeddings)
        return [self._answer(text, labels, copied) for text, labels, copied in zip(texts, labelled, found, strict=True)]

    def _label_all(self, texts: Sequence[str], embeddings: Array) -> list[list[tuple[str, Any, dict[str, float]]]]:
        """For each text every label field's name, label and signals."""
        if self._machine is None:
            return [[] for _ in texts]
        grams = [ngrams(text) for text in texts]
        with lone_blas():
            scores = self._machine.score(embeddings, grams)
        return [list(row) for row in zip(*read_heads(scores, self._machine.owners, list(self._labels.values())), strict=True)]

    def _answer(self, text: str, labelled: Sequence[tuple[str, Any, dict[str, float]]], tagged: dict[str, Found]) -> Answer:
        fields: dict[str, Any] = {}
        confidence: dict[str, float] = {}
        for name, label, signals in labelled:
            fields[name], confidence[name] = label, self._labels[name].calibration(signals)
        for name, found in (tagged | {name: copy(text) for name, copy in self._copiers.items()}).items():
            fields[name], confidence[name] = found.value, trust(self._copies[name].calibration, found)
        return Answer(
            fields={name: fields[name] for name in self._order}, field_confidence=confidence, signals=record_signals(confidence)
        )

    def save(self, folder: Path) -> None:
        """Write `specialist.safetensors` (weights), `specialist.json` (labels, calibrations, the encoder's name), and the files
        of an encoder of its own."""
        machine, extractor = self._machine, self._extractor
        folder.mkdir(parents=True, exist_ok=True)
        if (own := self.encoder.folder) is not None:
            for file in ENCODER_FILES:
                shutil.copyfile(own / file, folder / file)
        tensors: dict[str, NDArray[Any]] = {}
        if machine is not None:
            used = np.flatnonzero(machine.rows).astype(np.int32)
            sparse = machine.sparse[machine.rows[used]]
            tensors |= {"anchors": machine.anchors, "owners": machine.owners, "dual": machine.dual}
            tensors |= {"buckets": used, "sparse": sparse}
        if extractor is not None:
            tensors |= {f"tagger.{name}": tensor for name, tensor in extractor.tagger.network.tensors().items()}
            tensors |= {
                "dates.alike": extractor.habits.alike.astype(np.float16),
                "dates.month_first": extractor.habits.month_first,
            }
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "specialist.safetensors")
        heads = {
            "encoder": self.encoder.name,
            "kernel": asdict(machine.kernel) if machine is not None else None,
            "labels": [asdict(head) for head in self._labels.values()],
            "copies": [asdict(head) for head in self._copies.values()],
            "tagger": {"kinds": extractor.tagger.kinds, "least": dict(extractor.habits.least)} if extractor is not None else None,
        }
        (folder / "specialist.json").write_text(json.dumps(heads, ensure_ascii=False, indent=1), encoding="utf-8")


def trust(calibration: Calibration, found: Found) -> float:
    """The probability of what was copied; 0.0 where a signal is no number, also if the calibration makes no use of it."""
    return calibration(found.signals) if all(map(isfinite, found.signals.values())) else 0.0


@contextmanager
def lone_blas() -> Generator[None]:
    """One thread for products so small that a second one would wake too late, and then spin beside the encoder."""
    with _SCORING, _BLAS.limit(limits=1, user_api="blas"):
        yield


def read_heads(
    scores: tuple[Array, Array, Array], owners: NDArray[np.int32], heads: Sequence[LabelHead]
) -> list[list[tuple[str, Any, dict[str, float]]]]:
    """Per head, per text: the field's name, its label and the label's signals."""
    smooth, sparse, cosines = scores
    found: list[list[tuple[str, Any, dict[str, float]]]] = []
    start = 0
    for head, owner in zip(heads, owners.T, strict=True):
        columns = slice(start, start := start + len(head.labels))
        choice, signals = read_labels(smooth[:, columns], sparse[:, columns], cosines, owner, head.prior)
        rows = name_signals(signals)
        found.append([(head.field, head.labels[label], row) for label, row in zip(choice.tolist(), rows, strict=True)])
    return found


def load_specialist(folder: Path, encoder: Encoder, fields: Sequence[Field]) -> Specialist:
    """Read what `Specialist.save` wrote; `encoder` is the shared one, also for a specialist that brings its own. Raises
    `ArtefactError` for damaged files and for another encoder's."""
    try:
        if (folder / ENCODER_FILES[0]).exists():
            encoder = open_own(folder, encoder)
        heads = json.loads((folder / "specialist.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "specialist.safetensors")
        if heads["encoder"] != encoder.name:
            raise ArtefactError(
                f"{folder}: was trained on the encoder {heads['encoder']} and this machine has {encoder.name}. "
                "Train again here with `rung train`."
            )
        encoder.open()  # and not with the first case
        labels = [_label_head(head) for head in heads["labels"]]
        copies = [CopyHead(head["field"], read_calibration(head["calibration"])) for head in heads["copies"]]
        machine = _read_machine(heads["kernel"], tensors) if labels else None
        _fit_together(machine, labels, copies, fields)
        extractor = _read_extractor(heads["tagger"], tensors, fields)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError, EncoderError) as error:
        raise ArtefactError(f"{folder}: the specialist cannot be read ({error}). Train again with `rung train`.") from error
    return Specialist(encoder, (machine, labels) if machine else None, copies, fields, extractor)


def _read_machine(kernel: Mapping[str, float], tensors: Mapping[str, NDArray[Any]]) -> Machine:
    rows = np.zeros(BUCKETS, np.int32)
    rows[tensors["buckets"]] = np.arange(1, len(tensors["buckets"]) + 1)
    sparse = np.concatenate([np.zeros((1, tensors["sparse"].shape[1]), np.float32), tensors["sparse"]])
    return Machine(Kernel(**kernel), tensors["anchors"], tensors["owners"], tensors["dual"], rows, sparse)


def _read_extractor(
    raw: Mapping[str, Any] | None, tensors: Mapping[str, NDArray[Any]], fields: Sequence[Field]
) -> Extractor | None:
    extractions = [Extraction(field) for field in fields if learnt(field)]
    if raw is None and not extractions:
        return None
    if raw is None:
        raise ValueError("there is no tagger for the workload's fields")
    weights = {name.removeprefix("tagger."): tensor for name, tensor in tensors.items() if name.startswith("tagger.")}
    least = {name: float(bar) for name, bar in raw["least"].items()}
    habits = Habits(least, tensors["dates.alike"].astype(np.float32), tensors["dates.month_first"])
    if habits.alike.shape != (len(habits.month_first), WIDTH):
        raise ValueError("the texts that say how dates are read do not fit")
    return Extractor(Tagger(raw["kinds"], Network(**weights)), extractions, habits)


def _fit_together(
    machine: Machine | None, labels: Sequence[LabelHead], copies: Sequence[CopyHead], fields: Sequence[Field]
) -> None:
    """Raise ValueError unless the files speak of one machine and of these fields."""
    if machine is not None:
        columns = sum(len(head.labels) for head in labels)
        anchors, width = machine.anchors.shape
        used = int(machine.rows.max())
        if width != WIDTH or machine.dual.shape != (anchors, columns) or machine.sparse.shape != (used + 1, columns):
            raise ValueError("the weights do not fit each other")
        if machine.owners.shape != (anchors, len(labels)):
            raise ValueError("the anchors' labels do not fit the heads")
    trained = [(head.field, head.labels) for head in labels] + [(head.field, ()) for head in copies]
    wanted = [(field.name, field.labels) for fill in ("label", "copy") for field in fields if field.fill == fill]
    if trained != wanted or any(len(head.prior) != len(head.labels) for head in labels):
        raise ValueError("the heads are not those of the workload's fields")


def _label_head(raw: Mapping[str, Any]) -> LabelHead:
    return LabelHead(raw["field"], tuple(raw["labels"]), tuple(raw["prior"]), read_calibration(raw["calibration"]))


def read_calibration(raw: Mapping[str, Any]) -> Calibration:
    """A calibration from its JSON form."""
    return Calibration({name: (float(w), float(m), float(s)) for name, (w, m, s) in raw["weights"].items()}, float(raw["bias"]))
