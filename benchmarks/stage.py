"""What the benchmarks share: workload folders made of public data, peers' environments, intervals, and the table's lines.

A figure is printed beside its limit; ratios compare what was measured in one run on one machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import yaml

from rung.release.frozen import Release
from rung.statistics.binomial import lower_bound, upper_bound
from rung.workflows import train
from rung.workload import Workload, load

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".rung-bench"
PACKAGES = {
    "pytorch": (["torch==2.13.0"], ["sentence-transformers"]),
    "litellm": (["litellm[proxy]"],),
}


def arguments(description: str) -> argparse.ArgumentParser:
    """The parser that every benchmark starts from."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder of public data sets")
    return parser


def read_table(data: Path, name: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]] | None:
    """The published train and test rows (text, label) of a data set, or None, said out loud, where it is absent."""
    suffix = {"banking77": "jsonl", "headlines": "csv"}[name]
    files = [data / name / f"{part}.{suffix}" for part in ("train", "test")]
    missing = [file for file in files if not file.exists()]
    if missing:
        print(f"SKIPPED {name}: {missing[0]} does not exist. Give the folder of data sets with --data.", flush=True)
        return None
    train, test = (_read_rows(file) for file in files)
    return train, test


def _read_rows(file: Path) -> list[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        if file.suffix == ".jsonl":
            return [(row["text"], row["label"]) for row in map(json.loads, lines)]
        # The headlines are published inside a prompt, "Q: ...\nA:"; the prompt is not part of the text.
        return [(row[0].removeprefix("Q: ").removesuffix("A:").strip(), row[1]) for row in csv.reader(lines)]


def write_workload(
    folder: Path, name: str, train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]], error: float = 0.05
) -> Workload:
    """A workload folder in the short form `labels:`; the published test rows are pinned to the test split."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gold.jsonl").open("w", encoding="utf-8") as gold:
        for part, rows in (("train", train), ("test", test)):
            for text, label in rows:
                line = {"input": text, "expected": label} | ({"split": "test"} if part == "test" else {})
                gold.write(json.dumps(line, ensure_ascii=False) + "\n")
    content = {
        "workload": name,
        "task": "Name the label of the text.",
        "labels": sorted({label for _, label in [*train, *test]}),
        "gold": "gold.jsonl",
        "promise": {"error": error, "confidence": 0.95},
        "tiers": ["specialist"],
    }
    (folder / "workload.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load(folder)


def peer_python(name: str) -> Path:
    """The interpreter of a peer's own environment under .rung-bench; installed by pip where it is not there yet."""
    PEERS.mkdir(exist_ok=True)
    (PEERS / ".gitignore").write_text("*\n")
    python, done = PEERS / name / "bin" / "python", PEERS / name / "installed"
    if not done.exists():
        print(f"installing {name} into {done.parent.relative_to(ROOT)}, once", flush=True)
        subprocess.run([sys.executable, "-m", "venv", PEERS / name], check=True)
        for packages in PACKAGES[name]:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.touch()
    return python


def interval(count: int, total: int) -> str:
    """A share with its exact two-sided 95 % interval (Clopper and Pearson 1934)."""
    low, high = lower_bound(count, total, 0.975), upper_bound(count, total, 0.975)
    return f"{count / total:6.1%} [{low:.1%}, {high:.1%}]"


def verdict(figure: float, limit: float, at_most: bool) -> str:
    """Whether a figure reaches its limit, in a word."""
    return "reached" if (figure <= limit if at_most else figure >= limit) else "MISSED"


def banking_release(data: Path) -> tuple[Workload, Release, list[str]] | None:
    """A release trained on Banking77's published train set, kept under .rung-bench, and the published test texts."""
    rows = read_table(data, "banking77")
    if rows is None:
        return None
    workload = write_workload(PEERS / "banking77", "banking77", rows[0], [])
    return workload, train(workload), [text for text, _ in rows[1]]


def describe(values: Sequence[float], digits: int = 1) -> str:
    """The median of some rounds, and the smallest and largest."""
    return f"{median(values):,.{digits}f} [{min(values):,.{digits}f}, {max(values):,.{digits}f}]"
