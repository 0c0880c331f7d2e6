"""Resident memory of `rung serve` over 100,000 decisions: texts of all lengths, 32 at a time, every one in the ledger."""

from __future__ import annotations

import sys
from itertools import cycle, islice

from load import ask, free_port, resident, running
from stage import arguments, banking_release, verdict

STEPS = 20
LIMIT, GROWTH = 400.0, 5.0  # MB; MB over the second half


def main() -> None:
    options = arguments(__doc__ or "")
    options.add_argument("--decisions", type=int, default=100_000)
    given = options.parse_args()
    made = banking_release(given.data)
    if made is None:
        return
    workload, _, texts = made
    port, step = free_port(), given.decisions // STEPS
    base = f"http://127.0.0.1:{port}"
    waiting = cycle(texts)
    with running([sys.executable, "-m", "rung.cli", "serve", workload.folder, "--port", str(port)], f"{base}/readyz") as pid:
        found = [resident(pid)]
        print(f"{0:>9,} decisions  {found[0]:.0f} MB", flush=True)
        for done in range(1, STEPS + 1):
            bodies = [{"input": text} for text in islice(waiting, step)]
            rate = ask(f"{base}/v1/workloads/{workload.name}/decisions", bodies, 32, pid).rate
            found.append(resident(pid))
            print(f"{done * step:>9,} decisions  {found[-1]:.0f} MB   {rate:,.0f}/s", flush=True)
    grown = found[-1] - found[STEPS // 2]
    print(f"largest {max(found):.0f} MB   limit {LIMIT:.0f} {verdict(max(found), LIMIT, at_most=True)}")
    print(f"second half {grown:+.1f} MB   limit +{GROWTH:.0f} {verdict(grown, GROWTH, at_most=True)}")


if __name__ == "__main__":
    main()
