"""The contract: one file says what the work is, and everything else follows from it."""

from rung.workload.file import WorkloadError, find_key, load
from rung.workload.nouns import (
    Boundary,
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
    Workload,
)

__all__ = [
    "Boundary",
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
    "Workload",
    "WorkloadError",
    "find_key",
    "load",
]
