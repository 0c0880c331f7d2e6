"""Turns examples/support into a gateway with a month behind it, and its pages into the pictures in docs/images.

    python docs/shots.py [FOLDER]

The month is real but for its dates. Two releases, the first made from three fifths of the second's gold, decide messages of the
example that neither has learnt from (the second is calibrated and tested on them); some answers are drawn for review, and people
settle as gold says. In the last days discount codes crowd in, and what the test of drift says of them rings. Two things differ
from production: half of the answers is drawn for review, not a fiftieth, and so few cases would be no reference for drift.
The same cases are decided alike each time; times, dates and releases' names are those of the run. The releases are kept under
.rung-bench: only the first run trains, some minutes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import Browser, Page  # noqa: E402

from browser import running_browser  # noqa: E402
from gateway_stage import Stage, staged  # noqa: E402
from rung import Case, Release, Workload, load, train  # noqa: E402
from rung.cascade import decide  # noqa: E402
from rung.core import Verdict  # noqa: E402
from rung.gateway.pages import hash_password  # noqa: E402
from rung.gold import read_gold, split  # noqa: E402
from rung.ledger import Alarm, Ledger, Promotion, Record, ReviewTaken, open_ledger  # noqa: E402
from rung.models.encoder import Encoder, open_encoder  # noqa: E402
from rung.monitor.cases import Cases  # noqa: E402
from rung.monitor.drift import compare  # noqa: E402
from rung.release.frozen import load_workload  # noqa: E402
from rung.release.live import open_live  # noqa: E402
from rung.release.opening import open_release  # noqa: E402
from rung.review import draw, settle_review  # noqa: E402

IMAGES = ROOT / "docs" / "images"
HOME = ROOT / ".rung-bench" / "shots" / "support"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
MONTH, SECOND, CAMPAIGN, WAITING = timedelta(days=30), timedelta(days=16), timedelta(days=5), timedelta(hours=20)
FILE = (
    (
        "limits: {p99: 300ms, cost_per_case: 0.002, escalated: 0.40}",
        "limits: {p99: 300ms, escalated: 0.80, slices: {channel: 0.15}}",
    ),
    ("tiers: [specialist]", "tiers: [specialist]\nreview: {sample: 0.5}"),
)
REVIEWERS = ("ann", "ben", "cleo")
PASSWORD = "only for pictures"
TEXT = "I was charged £89.99 twice for order LF-310558. Please send one of them back. meg.holt@example.com"
WIDE, PHONE = (1280, 860), (390, 844)
PIXELS = """async (png) => {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const pen = new OffscreenCanvas(image.width, image.height).getContext("2d");
  pen.drawImage(image, 0, 0);
  const { data } = pen.getImageData(0, 0, image.width, image.height);
  const parts = [];
  for (let at = 0; at < data.length; at += 8192) parts.push(String.fromCharCode(...data.subarray(at, at + 8192)));
  return [image.width, image.height, btoa(parts.join(""))];
}"""


@dataclass(frozen=True)
class Message:
    """A message of the example: when it came, and what its gold says."""

    at: datetime
    text: str
    context: Mapping[str, Any]
    expected: Mapping[str, Any]


def main() -> None:
    """Write every picture."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    encoder = open_encoder()
    releases, messages = prepare(encoder)
    for file in (HOME / ".rung").glob("ledger.db*"):
        file.unlink()
    ledger = open_ledger(f"sqlite:///{HOME}/.rung/ledger.db")
    workload = load_workload(releases[-1])
    alarms = happen(ledger, workload, releases, messages, encoder)
    asyncio.run(ledger.close())
    live = lambda _, kept: open_live(releases[-1], kept, encoder)  # noqa: E731
    with staged(HOME / ".rung", make=live, given=workload) as stage, running_browser() as browser:
        take(stage, browser, folder, alarms)


def prepare(encoder: Encoder) -> tuple[list[Release], list[Message]]:
    """The workload's two releases, and the messages that neither has learnt from."""
    source = ROOT / "examples" / "support"
    shutil.copytree(source, HOME, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".rung"))
    text = (source / "workload.yaml").read_text(encoding="utf-8")
    for old, new in FILE:
        assert old in text, f"{old!r} is no line of the example any more"
        text = text.replace(old, new)
    (HOME / "workload.yaml").write_text(text, encoding="utf-8")
    gold = [json.loads(line) for line in (source / "gold.jsonl").read_text(encoding="utf-8").splitlines()]
    given = read_gold(load(HOME))
    learnt = {given.examples[at].case.text for at in split(given).train}
    releases: list[Release] = []
    for some, ago in (([one for one in gold if one["input"] in learnt], MONTH), (gold, SECOND)):
        (HOME / "gold.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in some), encoding="utf-8")
        releases.append(train(load(HOME), encoder=encoder, hold=True))
        made = (NOW - ago - timedelta(hours=1)).timestamp()
        os.utime(releases[-1].folder / "manifest.json", (made, made))
    return releases, schedule([one for one in gold if one["input"] not in learnt])


def schedule(lines: Sequence[Mapping[str, Any]]) -> list[Message]:
    """A month of messages, few at night; those about discount codes come with the campaign."""
    chance = random.Random(7)

    def when(line: Mapping[str, Any]) -> datetime:
        span = CAMPAIGN if line["expected"]["intent"] == "discount_code" else MONTH
        while True:
            at = NOW - span * chance.random()
            if chance.random() < (1.0 if 8 <= at.hour < 20 else 0.25):
                return at

    return sorted((Message(when(one), one["input"], one["context"], one["expected"]) for one in lines), key=lambda one: one.at)


def happen(
    ledger: Ledger, workload: Workload, releases: Sequence[Release], messages: Sequence[Message], encoder: Encoder
) -> list[Alarm]:
    """The month, written into the ledger, and the alarms that it ends with."""
    first, second = releases
    ledger.promote(Promotion(workload.name, first.id, NOW - MONTH, "ada", "first release"), None, {"inputs": first.inputs})
    why = "more gold; answers more at the same promise"
    ledger.promote(Promotion(workload.name, second.id, NOW - SECOND, "ola", why), first.id, {"inputs": second.inputs})
    records = asyncio.run(answer(ledger, workload, releases, messages, encoder))
    review(ledger, workload, {one.case.id: each for one, each in zip(records, messages, strict=True)})
    roles = {**dict.fromkeys(REVIEWERS, "reviewer"), "ola": "operator", "ada": "admin"}
    for name, role in roles.items():
        ledger.people.add(name, role, hash_password(PASSWORD), NOW - MONTH)
    return list(drift(workload, records, encoder))


async def answer(
    ledger: Ledger, workload: Workload, releases: Sequence[Release], messages: Sequence[Message], encoder: Encoder
) -> list[Record]:
    """What the release at work then decided, recorded as it would have been."""
    cascades = [open_release(release, encoder)[1] for release in releases]
    records: list[Record] = []
    for number, one in enumerate(messages):
        cascade = cascades[one.at >= NOW - SECOND]
        case = Case(one.text, one.context, "key:helpdesk", id=f"{number:028x}")
        decision = await decide(case, cascade)
        records.append(Record(workload.name, case, decision, one.at, drawn=draw(decision, workload.review, cascade.level)))
    await asyncio.gather(*map(ledger.record, records))
    return records


def review(ledger: Ledger, workload: Workload, messages: Mapping[str, Message]) -> None:
    """People settle what came until yesterday as gold says; a second look differs now and then."""
    chance = random.Random(2)
    labels = next(field.labels for field in workload.fields if field.name == "intent")
    while due := [one for one in ledger.queue.list(workload.name) if one.at < NOW - WAITING]:
        for one in due:
            right = dict(messages[one.record.case.id].expected)
            if one.look == "second" and chance.random() < 0.06:
                right["intent"] = chance.choice(labels)
            at, seconds = one.at + timedelta(hours=8 * chance.random()), chance.lognormvariate(2.2, 0.5)
            for by in chance.sample(REVIEWERS, len(REVIEWERS)):
                try:
                    settle_review(ledger, workload, one, Verdict(one.record.decision.id, right, by), at, seconds)
                    break
                except ReviewTaken:  # who settled it first does not look again
                    continue


def drift(workload: Workload, records: Sequence[Record], encoder: Encoder) -> Iterator[Alarm]:
    """What has moved since the campaign began in what the second release saw, as the watch would ring it."""
    before = [record for record in records if NOW - SECOND <= record.at < NOW - CAMPAIGN]
    window = [record for record in records if record.at >= NOW - CAMPAIGN]
    ids = [record.decision.id for record in window]
    for found in compare(observe(before, encoder), observe(window, encoder), 0.001):
        if found.drifted:
            clusters = [one.document() | {"examples": [ids[at] for at in one.examples]} for one in found.clusters]
            detail = found.document() | {"clusters": clusters}
            yield Alarm(workload.name, "drift", found.signal, found.sentence, NOW - timedelta(hours=3), detail)


def observe(records: Sequence[Record], encoder: Encoder) -> Cases:
    """What drift is looked for in."""
    answers = [record.decision.answer for record in records]
    return Cases(
        embeddings=encoder.embed([record.case.text for record in records]),
        lengths=np.array([len(record.case.text) for record in records], np.int64),
        labels=[None if answer is None else str(answer["intent"]) for answer in answers],
        confidences=np.array([record.decision.confidence for record in records]),
        tiers=[record.decision.tier for record in records],
    )


def take(stage: Stage, browser: Browser, folder: Path, alarms: Sequence[Alarm]) -> None:
    """Look at the pages, and keep what is seen."""
    home, queue = f"{stage.url}/w/support", stage.ledger.queue
    waiting = [one for one in queue.list("support") if "LF" in one.record.case.text and one.look == "unsure"]
    case = min(waiting, key=lambda one: abs(len(one.record.case.text) - 200))
    overturned = [one.record for one in queue.settled("support") if one.look == "sample" and differs(one)]
    decision = min(overturned, key=lambda record: abs(len(record.case.text) - 160)).decision.id
    with signed_in(browser, stage.url) as page:
        shoot(page, f"{home}/overview?range=30d", folder / "overview.png", height=835)
        shoot(page, f"{home}/review?review={case.seq}", folder / "review.png", height=960)
        shoot(page, f"{home}/decisions/{decision}", folder / "decision.png", height=900)
        shoot(page, f"{home}/releases", folder / "releases.png", height=940)
        for alarm in alarms:
            stage.ledger.alarms.ring(alarm)
        shoot(page, f"{home}/alarms", folder / "alarms.png", height=880)
        page.get_by_role("link", name="drift: embedding").click()
        keep(page, folder / "alarm.png", 860)
    with signed_in(browser, stage.url, dark=True) as page:
        shoot(page, f"{home}/review?review={case.seq}", folder / "review-dark.png", height=960)
        page.goto(f"{home}/playground")
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_role("heading", name="What was read in it").wait_for()
        keep(page, folder / "playground-dark.png", 900)
    with signed_in(browser, stage.url, PHONE) as page:
        shoot(page, f"{home}/review?review={case.seq}", folder / "review-phone.png", height=PHONE[1])


def differs(one: Any) -> bool:
    """Whether people overturned the answer."""
    given = one.record.decision.answer or {}
    return any(one.verdict.answer[name] != given.get(name) for name in ("intent", "priority"))


@contextmanager
def signed_in(browser: Browser, url: str, size: tuple[int, int] = WIDE, dark: bool = False) -> Iterator[Page]:
    """A page of somebody who may do everything."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview")
    yield page
    context.close()


def shoot(page: Page, address: str, file: Path, height: int) -> None:
    """Keep what is seen at an address."""
    page.goto(address, wait_until="networkidle")
    keep(page, file, height)


def keep(page: Page, file: Path, height: int) -> None:
    """Keep the page's upper part as it is now."""
    width = (page.viewport_size or {"width": WIDE[0]})["width"]
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(600)  # what is like the case comes a moment later
    page.evaluate("scrollTo(0, 0)")
    browser = page.context.browser
    assert browser
    file.write_bytes(shrink(browser, page.screenshot(animations="disabled")))
    sys.stdout.write(f"{file.name}: {file.stat().st_size / 1000:.0f} kB\n")


def shrink(browser: Browser, png: bytes) -> bytes:
    """The picture in its 256 commonest colours, all others as the nearest of these."""
    page = browser.new_page()
    width, height, pixels = page.evaluate(PIXELS, base64.b64encode(png).decode())
    page.close()
    seen = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[..., :3]
    packed = seen.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    colours, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    spread = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    kept = spread[np.argsort(-counts, kind="stable")[:256]]
    nearest = ((spread[:, None] - kept) ** 2).sum(axis=2).argmin(axis=1).astype(np.uint8)
    rows = np.pad(nearest[places.reshape(height, width)], ((0, 0), (1, 0)))  # each row says first that it has no filter
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", kept.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return png[:8] + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)


if __name__ == "__main__":
    main()
