"""Banking77: a bake-off of six local candidates, cold with nothing kept but the encoder, and again with everything kept.

Each run is a process of its own, as `rung bakeoff` is. The baseline is put beside scikit-learn's by `quality.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import yaml
from stage import arguments, read_table, verdict, write_workload

from rung.workflows.bakeoff import bake
from rung.workload import load

COLD, CACHED = 600.0, 10.0  # seconds
CANDIDATES = [
    {"specialist": "static"},
    {"specialist": "heads", "precision": "float32"},
    {"specialist": "heads", "precision": "int4"},
    [{"specialist": "static"}, {"specialist": "heads"}],
]  # besides heads in int8, which is the workload's own tier, and TF-IDF


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--once", type=Path, help="bake this workload, print the figures and end")
    asked = parser.parse_args()
    if asked.once:
        print(json.dumps(asdict(bake(load(asked.once)))))
        return
    rows = read_table(asked.data, "banking77")
    if rows is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        workload = write_workload(Path(folder), "banking77", *rows)
        content = yaml.safe_load(workload.file.read_text(encoding="utf-8"))
        workload.file.write_text(yaml.safe_dump({**content, "bakeoff": {"candidates": CANDIDATES}}), encoding="utf-8")
        cold, took = run(workload.file)
        describe(cold)
        print(f"cold: {took:.0f} s   limit {COLD:.0f} s {verdict(took, COLD, at_most=True)}", flush=True)
        cached, took = run(workload.file)
        print(f"cached: {took:.1f} s   limit {CACHED:.0f} s {verdict(took, CACHED, at_most=True)}")
        print(f"the same bytes: {'yes' if cached == cold else 'NO'}")


def run(file: Path) -> tuple[str, float]:
    """What one bake-off prints, and the seconds that it took, the start of its process included."""
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--once", file], capture_output=True, text=True, check=True)
    return done.stdout, time.perf_counter() - began


def describe(printed: str) -> None:
    found = json.loads(printed)
    gold = found["gold"]
    print(f"{gold['train']:,} / {gold['calibration']:,} / {gold['test']:,} train / calibration / test cases", end="")
    print(f", {gold['suspects']} likely label errors, a promise of {found['promise']['error']:.0%}")
    for one in found["candidates"]:
        cases, right, answered = len(one["right"]), sum(one["right"]), sum(one["answered"])
        wrong = sum(a and not r for r, a in zip(one["right"], one["answered"], strict=True))
        print(f"  {one['name']:<16} right {right / cases:.1%}, answered {answered / cases:.1%}, wrong of these ", end="")
        print(f"{wrong / max(answered, 1):.1%}, p99 {one['p99'] * 1e3:.1f} ms at {one['rate']:.0f}/s, ", end="")
        print(f"{one['busy'] * 1e3:.1f} ms of machine, {one['size'] / 1e6:.0f} MB, trained in {one['training']:.0f} s")


if __name__ == "__main__":
    main()
