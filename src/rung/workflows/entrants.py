"""Turns a workload into the candidates of its bake-off, each once, and each into the line that writes it. Knows no results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rung.evaluation.candidates import Kind
from rung.evaluation.phrases import listed
from rung.models.extraction import learnt
from rung.workflows.ladder import line_of
from rung.workflows.loading import TFIDF
from rung.workload import EndpointTier, SpecialistTier, Tiers, Workload

BASELINE = SpecialistTier(TFIDF)  # its place in a cascade; it has no recipe


@dataclass(frozen=True, slots=True)
class Entrant:
    """One candidate before it is tried, as `evaluation.candidates.Candidate` has it."""

    name: str
    line: str
    kind: Kind
    tiers: Tiers

    @property
    def large(self) -> bool:
        """Whether others are measured against it."""
        return self.kind == "endpoint" and any(tier.endpoint.size in ("upper", "frontier") for tier in self.endpoints)

    @property
    def specialists(self) -> list[SpecialistTier]:
        """Those of its tiers that Rung trains."""
        return [tier for tier in self.tiers if isinstance(tier, SpecialistTier)]

    @property
    def endpoints(self) -> list[EndpointTier]:
        """Those of its tiers that are asked."""
        return [tier for tier in self.tiers if isinstance(tier, EndpointTier)]


def line_up(workload: Workload) -> list[Entrant]:
    """The workload's own cascade, each tier of it alone, what its bake-off names, and TF-IDF with logistic regression."""
    cascades: dict[Tiers, Tiers] = {}
    for tiers in (workload.tiers, *((tier,) for tier in workload.tiers), *workload.bakeoff.candidates):
        cascades.setdefault(tuple(map(plain, tiers)), tiers)
    entrants: list[Entrant] = []
    for tiers in cascades.values():
        line = ", ".join(map(_line, tiers))
        line = f"[{line}]" if len(tiers) > 1 else line
        name = " + ".join(map(_name, tiers))
        taken = {entrant.name for entrant in entrants}
        entrants.append(Entrant(line if name in taken else name, line, _kind(tiers), tiers))
    return [*entrants, Entrant("TF-IDF", _baseline_line(workload), "baseline", (BASELINE,))]


def plain(tier: SpecialistTier | EndpointTier) -> SpecialistTier | EndpointTier:
    """What two tiers have in common that are written differently: `specialist` is `{specialist: heads}`."""
    return replace(tier, name=tier.recipe) if isinstance(tier, SpecialistTier) and tier != BASELINE else tier


def _kind(tiers: Tiers) -> Kind:
    asked = [isinstance(tier, EndpointTier) for tier in tiers]
    return "cascade" if len(tiers) > 1 else "endpoint" if all(asked) else "specialist"


def _name(tier: SpecialistTier | EndpointTier) -> str:
    """Short enough for a table; what is as usual goes without saying."""
    if isinstance(tier, EndpointTier):
        return tier.name + (f" ({tier.examples} examples)" if tier.examples else "")
    usual = SpecialistTier()
    said = [tier.recipe]
    said += [f"{tier.layers} layers"] if tier.recipe == "distil" else []
    said += [f"keep {tier.keep:g}"] if tier.keep != usual.keep else []
    said += [tier.precision] if tier.precision != usual.precision else []
    said += [f"taught by {tier.teacher.name}"] if tier.teacher else []
    return " ".join(said)


def _line(tier: SpecialistTier | EndpointTier) -> str:
    if isinstance(tier, SpecialistTier):
        further: dict[str, Any] = {"unlabelled": tier.unlabelled and tier.unlabelled.name}
        further["teacher"] = tier.teacher and _line(tier.teacher)
        return _written(line_of(tier), {name: value for name, value in further.items() if value})
    usual = EndpointTier("", tier.endpoint, "")
    said: dict[str, Any] = {} if tier.timeout == usual.timeout else {"timeout": f"{tier.timeout:g}s"}
    said |= {"examples": tier.examples} if tier.examples else {}
    return _written(f"{{endpoint: {tier.endpoint.name}, model: {tier.model}}}", said)


def _written(line: str, further: dict[str, Any]) -> str:
    return line.removesuffix("}") + "".join(f", {name}: {value}" for name, value in further.items()) + "}"


def _baseline_line(workload: Workload) -> str:
    untaught = [field.name for field in workload.fields if learnt(field)]
    said = "TF-IDF + logistic regression, always compared"
    return said + (f"; leaves {listed(untaught)} null" if untaught else "")


def priced(entrant: Entrant) -> Iterator[EndpointTier]:
    """Every endpoint that making or judging it asks: its tiers and who teaches them."""
    yield from entrant.endpoints
    yield from (tier.teacher for tier in entrant.specialists if tier.teacher)
