"""The contract: one file says what the work is, and everything else follows from it."""

from rung.workload.file import WorkloadError, find_key, load
from rung.workload.nouns import (
    Boundary,
    Contest,
    Costs,
    Endpoint,
    EndpointTier,
    Field,
    Limits,
    Precision,
    Price,
    Promise,
    Recipe,
    SizeTier,
    SpecialistTier,
    Tiers,
    Workload,
)

__all__ = [
    "Boundary",
    "Contest",
    "Costs",
    "Endpoint",
    "EndpointTier",
    "Field",
    "Limits",
    "Precision",
    "Price",
    "Promise",
    "Recipe",
    "SizeTier",
    "SpecialistTier",
    "Tiers",
    "Workload",
    "WorkloadError",
    "find_key",
    "load",
]
