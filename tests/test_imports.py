"""What loading Rung costs: `import rung` loads nothing heavy, and what serves never loads what trains."""

from __future__ import annotations

import subprocess
import sys

import rung

HEAVY = {"numpy", "sklearn", "scipy", "onnxruntime", "sqlalchemy", "starlette", "uvicorn", "aiohttp", "torch", "typer", "rich"}


def loaded_by(statement: str) -> set[str]:
    """The modules a new process has after a statement."""
    script = f"import sys; {statement}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(ended.stdout.split())


def test_importing_rung_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("import rung")


def test_the_command_line_loads_no_model_before_it_knows_the_verb() -> None:
    assert not (HEAVY - {"typer", "rich"}) & loaded_by("import rung.cli")


def test_rolling_back_waits_for_no_models_library() -> None:
    assert not (HEAVY - {"sqlalchemy"} | {"tokenizers"}) & loaded_by("import rung.release.pointer")


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(rung, name) is not None for name in rung.__all__)
    assert not hasattr(rung, "nothing")


def test_what_serves_and_decides_never_loads_what_trains() -> None:
    loaded = loaded_by(
        "import rung.cli.serving, rung.cli.samples, rung.release.live, rung.embedded, rung.gateway, rung.batch;"
        "import rung.review, rung.monitor"
    )
    assert not [name for name in loaded if name.startswith(("rung.training", "rung.workflows", "rung.gold", "rung.evaluation"))]
    assert not {"sklearn", "scipy", "torch", "onnx"} & loaded
