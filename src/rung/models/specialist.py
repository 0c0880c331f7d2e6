"""Turns a text into every label and copy field in one pass: the embedded encoder with heads. Knows nothing about training.

One kernel machine serves all label fields. A text is compared with the anchors, the texts it was trained on, by a Gaussian
kernel on their embeddings (which knows what is meant) plus a linear kernel on their n-grams (which knows the wording):

    score = smooth * exp(width * (cosine - 1)) @ dual + ngrams @ sparse          [labels of all fields]

Both halves are kept apart as signals: where they disagree, caution is due.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

from rung.batching import Batcher
from rung.core import Answer, Case, Problem
from rung.models.calibration import logit
from rung.models.copying import Found, open_copier
from rung.models.encoder import ENCODER_FILES, WIDTH, Encoder, EncoderError, open_own
from rung.models.extraction import Extraction, Extractor, Habits, learnt
from rung.models.heads import (
    SIGNALS,
    Array,
    ArtefactError,
    Heads,
    LabelHead,
    choose,
    load_model,
    number_rows,
    save_model,
    spans,
    trust,
    used_buckets,
)
from rung.models.ngrams import BUCKETS, Sparse, ngrams
from rung.models.tagger import Network, Tagger
from rung.workload import Field

_BLAS = cast(Any, ThreadpoolController)()
_SCORING = Lock()  # the number of BLAS threads is the process's: one at a time may lower it and put it back

SHARPNESS = 12.0  # turns scores, which lie around 0..1, into odds; the calibration sees to the rest
LARGEST_BATCH = 16  # two at once: one's Python runs beside the other's encoding

LABEL_SIGNALS = (*SIGNALS, "nearest", "trust")


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


def read_labels(
    smooth: Array, sparse: Array, cosines: Array, owners: NDArray[np.int32], prior: Sequence[float]
) -> tuple[NDArray[np.intp], Array]:
    """One field's choices [texts] and their signals [texts, LABEL_SIGNALS] from its scores [texts, labels], the cosines with the
    anchors [texts, n], and the anchors' labels [n].

    "trust" is how much nearer the nearest anchor with the chosen label is than the nearest with another (after Jiang, Kim,
    Guan, Gupta 2018, "To trust or not to trust a classifier", section 3).
    """
    choice, signals = choose(smooth, sparse, prior, SHARPNESS)
    ours = owners == choice[:, None]
    signals += [cosines.max(axis=1), _nearest(cosines, ours) - _nearest(cosines, ~ours)]
    return choice, np.stack(signals, axis=1).astype(np.float32)


def name_signals(signals: Array) -> list[dict[str, float]]:
    """Rows of `read_labels` [texts, LABEL_SIGNALS] with their names."""
    rows: list[list[float]] = signals.tolist()
    return [dict[str, float](zip(LABEL_SIGNALS, row, strict=True)) for row in rows]


def _nearest(cosines: Array, among: NDArray[np.bool_]) -> Array:
    """The largest cosine among some anchors [texts]; 0, at right angles, where nothing is nearer."""
    return np.where(among, cosines, 0).max(axis=1)


def record_signals(confidence: Mapping[str, float]) -> dict[str, float]:
    """What a tier's calibration is told about a whole answer, from its fields' probabilities."""
    return {"weakest": logit(min(confidence.values())), "joint": logit(prod(confidence.values()))}


class Specialist:
    """The encoder with heads, a `core.Model`. Concurrent cases share forward passes; a lone case does not wait for others."""

    def __init__(
        self,
        encoder: Encoder,
        machine: Machine | None,
        heads: Heads,
        fields: Sequence[Field],
        extractor: Extractor | None = None,
    ) -> None:
        """`fields` are the workload's, in the answer's order; template fields are left to the cascade. `machine` fills label
        fields and `extractor` learnt copy fields, where there are any."""
        self.encoder = encoder
        self._machine, self._heads, self._extractor = machine, heads, extractor
        self._calibrations = {head.field: head.calibration for head in (*heads.labels, *heads.copies)}
        self._order = [field.name for field in fields if field.fill != "template"]
        self._copiers = {field.name: open_copier(field) for field in fields if field.fill == "copy" and not learnt(field)}
        self._batcher = Batcher(self.answer_all, LARGEST_BATCH, "specialist", abreast=2)

    async def answer(self, case: Case, objections: tuple[Problem, ...] = ()) -> Answer:
        """Every label and copy field; objections change nothing: the same text gives the same answer."""
        return await self._batcher.submit(case.text)

    async def close(self) -> None:
        """Finish what is under way and end the threads."""
        await self._batcher.close()

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
        return [list(row) for row in zip(*read_heads(scores, self._machine.owners, self._heads.labels), strict=True)]

    def _answer(self, text: str, labelled: Sequence[tuple[str, Any, dict[str, float]]], tagged: dict[str, Found]) -> Answer:
        fields: dict[str, Any] = {}
        confidence: dict[str, float] = {}
        for name, label, signals in labelled:
            fields[name], confidence[name] = label, self._calibrations[name](signals)
        for name, found in (tagged | {name: copy(text) for name, copy in self._copiers.items()}).items():
            fields[name], confidence[name] = found.value, trust(self._calibrations[name], found)
        return Answer(
            fields={name: fields[name] for name in self._order}, field_confidence=confidence, signals=record_signals(confidence)
        )

    def save(self, folder: Path) -> None:
        """Write `specialist.safetensors` (weights), `specialist.json` (labels, calibrations, the encoder's name), and the files
        of an encoder of its own."""
        machine, extractor = self._machine, self._extractor
        tensors: dict[str, NDArray[Any]] = {}
        if machine is not None:
            used = used_buckets(machine.rows)
            tensors |= {"anchors": machine.anchors, "owners": machine.owners, "dual": machine.dual}
            tensors |= {"buckets": used, "sparse": machine.sparse[machine.rows[used]]}
        if extractor is not None:
            tensors |= {f"tagger.{name}": tensor for name, tensor in extractor.tagger.network.tensors().items()}
            tensors |= {
                "dates.alike": extractor.habits.alike.astype(np.float16),
                "dates.month_first": extractor.habits.month_first,
            }
        document = {
            "encoder": self.encoder.name,
            "kernel": asdict(machine.kernel) if machine is not None else None,
            **asdict(self._heads),
            "tagger": {"kinds": extractor.tagger.kinds, "least": dict(extractor.habits.least)} if extractor is not None else None,
        }
        save_model(folder, "specialist", document, tensors)
        if (own := self.encoder.folder) is not None:
            for file in ENCODER_FILES:
                shutil.copyfile(own / file, folder / file)


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
    for head, span, owner in zip(heads, spans([head.labels for head in heads]), owners.T, strict=True):
        choice, signals = read_labels(smooth[:, span], sparse[:, span], cosines, owner, head.prior)
        rows = name_signals(signals)
        found.append([(head.field, head.labels[label], row) for label, row in zip(choice.tolist(), rows, strict=True)])
    return found


def load_specialist(folder: Path, encoder: Encoder, fields: Sequence[Field]) -> Specialist:
    """Read what `Specialist.save` wrote; `encoder` is the shared one, also for a specialist that brings its own. Raises
    `ArtefactError` for damaged files and for another encoder's."""
    try:
        if (folder / ENCODER_FILES[0]).exists():
            encoder = open_own(folder, encoder)
        document, heads, tensors = load_model(folder, "specialist", fields)
        if document["encoder"] != encoder.name:
            raise ArtefactError(
                f"{folder}: was trained on the encoder {document['encoder']} and this machine has {encoder.name}. "
                "Train again here with `rung train`."
            )
        encoder.open()  # and not with the first case
        machine = _read_machine(document["kernel"], tensors, heads.labels) if heads.labels else None
        extractor = _read_extractor(document["tagger"], tensors, fields)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError, EncoderError) as error:
        raise ArtefactError(f"{folder}: the specialist cannot be read ({error}). Train again with `rung train`.") from error
    return Specialist(encoder, machine, heads, fields, extractor)


def _read_machine(kernel: Mapping[str, float], tensors: Mapping[str, NDArray[Any]], labels: Sequence[LabelHead]) -> Machine:
    """Raises ValueError for tensors that do not fit each other or the heads."""
    anchors, owners, dual, buckets = (tensors[name] for name in ("anchors", "owners", "dual", "buckets"))
    sparse = np.concatenate([np.zeros((1, tensors["sparse"].shape[1]), np.float32), tensors["sparse"]])
    count, columns = len(anchors), sum(len(head.labels) for head in labels)
    if (anchors.shape, dual.shape, sparse.shape) != ((count, WIDTH), (count, columns), (len(buckets) + 1, columns)):
        raise ValueError("the weights do not fit each other")
    if owners.shape != (count, len(labels)):
        raise ValueError("the anchors' labels do not fit the heads")
    return Machine(Kernel(**kernel), anchors, owners, dual, number_rows(buckets, BUCKETS), sparse)


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
