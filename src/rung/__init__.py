"""Rung: small language models in production. Answer every case on the lowest rung that holds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.core import Case, Decision, RungError
    from rung.embedded import Embedded, asgi
    from rung.release.frozen import Release
    from rung.workflows import train
    from rung.workload import Workload, load

__all__ = ["Case", "Decision", "Embedded", "Release", "RungError", "Workload", "asgi", "load", "train"]

_HOMES = {
    "Case": "rung.core",
    "Decision": "rung.core",
    "Embedded": "rung.embedded",
    "Release": "rung.release.frozen",
    "RungError": "rung.core",
    "Workload": "rung.workload",
    "asgi": "rung.embedded",
    "load": "rung.workload",
    "train": "rung.workflows",
}


def __getattr__(name: str) -> Any:
    """Load a public name's home when it is first asked for: `import rung` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rung' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
