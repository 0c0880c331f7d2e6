"""Reviewing: how long a keyboard decision takes in a real browser, and whether many reviewers lose or double one.

    python benchmarks/reviewing.py [--cases 1000] [--reviewers 8]

The browser is headless Chromium on this machine; the time runs from the key Enter to the next case on the screen. Limits: a
median of 60 ms over 50 decisions; with 8 reviewers on 1,000 cases none lost and none settled twice.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser import running_browser
from gateway_stage import Stage, staged
from records import for_review, record
from rung.gateway import digest, new_key

DECISIONS, LIMIT = 50, 0.060


def by_keyboard(stage: Stage) -> list[float]:
    """Seconds from Enter to the next case, for each decision."""
    record(stage.ledger, *(for_review() for _ in range(DECISIONS + 1)), text="Please send my money back")
    seconds: list[float] = []
    with running_browser() as browser:
        tab = browser.new_page()
        tab.goto(f"{stage.url}/w/support/review")
        tab.locator("#desk:not([hidden])").wait_for()
        tab.evaluate(
            """() => { window.shown = [];
              const watcher = new MutationObserver(() => window.shown.push(performance.now()));
              watcher.observe(document.getElementById("fields"), { childList: true });
              const note = (event) => event.key === "Enter" && (window.pressed = performance.now());
              document.addEventListener("keydown", note, true); }"""
        )
        for n in range(DECISIONS):
            tab.keyboard.press("2")
            tab.keyboard.press("Enter")
            tab.wait_for_function("n => window.shown.length > n", arg=n, polling=5)
            seconds.append(tab.evaluate("() => (window.shown.at(-1) - window.pressed) / 1000"))
    return seconds


async def by_many(stage: Stage, reviewers: int) -> Counter[str]:
    """Who settled what, by decision, until nothing waits."""
    done: Counter[str] = Counter()

    async def work(name: str) -> None:
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {keys[name]}"}) as session:
            settle: str | None = None
            while True:
                path = f"/v1/reviews/{settle}/settle" if settle else "/v1/workloads/support/reviews/next"
                body = {"answer": {"intent": "refund", "order": None}, "next": {}} if settle else {}
                async with session.post(stage.url + path, json=body) as reply:
                    said = await reply.json()
                    assert reply.status == 200, said
                if settle:
                    done[settle] += 1
                if said["review"] is None:
                    return
                settle = str(said["review"]["id"])

    keys = {f"reviewer {n}": new_key() for n in range(reviewers)}
    for name, key in keys.items():
        stage.ledger.add_key(name, digest(key), datetime.now(UTC), "reviewer")
    await asyncio.gather(*map(work, keys))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--reviewers", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder)) as stage:
        seconds = sorted(by_keyboard(stage))
        settled = len(stage.ledger.settled("support"))
    print(
        f"keyboard: median {1000 * median(seconds):.0f} ms, slowest {1000 * seconds[-1]:.0f} ms of {len(seconds)} "
        f"(limit {1000 * LIMIT:.0f} ms, {median(seconds) / LIMIT:.2f} of it); {settled} of {DECISIONS} recorded"
    )
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder), open_access=False) as stage:
        written = record(stage.ledger, *(for_review() for _ in range(given.cases)))
        began = time.perf_counter()
        done = asyncio.run(by_many(stage, given.reviewers))
        took = time.perf_counter() - began
        verdicts = Counter(verdict.decision for _, verdict in stage.ledger.settled("support"))
        lost = len({one.decision.id for one in written} - set(verdicts))
        waits = stage.ledger.count_waiting("support")
    double = sum(count > 1 for count in done.values())
    print(
        f"{given.reviewers} reviewers on {given.cases:,} cases: {lost + waits} lost, {double} settled twice, "
        f"{1000 * took / given.cases:.1f} ms a case"
    )


if __name__ == "__main__":
    main()
