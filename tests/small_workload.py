"""A workload small enough to train in a second: three intents that no one could confuse, an order number and a reply."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from rung.models.encoder import Encoder, open_encoder
from rung.release.frozen import Release, load_release
from rung.release.pointer import ledger_of, list_releases, promote
from rung.workflows import train
from rung.workload import Workload, load

INTENTS: dict[str, list[list[str]]] = {
    "refund": [
        ["please give me my money back for", "I want to be refunded for", "you charged me twice for", "reimburse me for"],
        ["the lamp", "two chairs", "that ugly rug", "a broken mirror", "the oak table", "my bookshelf", "the curtains"],
        ["to my bank account", "on my credit card", "in cash", "before the end of the month", "as the invoice is wrong"],
        ["it was far too expensive", "the price was lower last week", "I never agreed to pay this", "the amount is wrong"],
    ],
    "login": [
        ["my password does not work for", "I cannot sign in to", "the app locked me out of", "please reset my access to"],
        ["the website", "my profile", "the customer portal", "the loyalty page", "your mobile app", "the members' area"],
        ["since the update", "after five attempts", "on my new phone", "with either browser", "although the code is right"],
        ["no verification e-mail comes", "it says unknown user", "the captcha never ends", "my username has vanished"],
    ],
    "weather": [
        ["will it rain on", "how cold does it get on", "is there going to be snow on", "what is the forecast for"],
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        ["in Oslo", "in the Alps", "near the coast", "around Lisbon", "up in the hills", "in northern Scotland"],
        ["we plan a picnic", "I must know whether to take an umbrella", "the wind was icy", "the sun has not shone for days"],
    ],
}
GREETINGS = ["Hello,", "Hi there,", "Good morning!", "", "", "Dear team,", "hey", "Ok so"]
ENDINGS = ["Thanks", "Regards, Ada", "", "", "Cheers", "Please hurry", "Bye for now"]

CONTENT: dict[str, Any] = {
    "workload": "small",
    "task": "Name the intent of the message and copy its order number.",
    "answer": {
        "type": "object",
        "properties": {
            "intent": {"enum": list(INTENTS)},
            "order": {"type": ["string", "null"], "pattern": "^AB[0-9]{4}$", "find": ["(?i)\\bAB[ -]?[0-9]{4}\\b"]},
            "reply": {"type": "string", "template": "replies/{intent}.md"},
        },
        "required": ["intent", "order", "reply"],
        "additionalProperties": False,
    },
    "gold": "gold.jsonl",
    "promise": {"error": 0.1, "confidence": 0.9},
}


def messages(cases: int, seed: int = 0) -> list[dict[str, Any]]:
    """Gold lines: a text of four phrases, each from a list of its intent's, in a mixed order, some with an order number."""
    random_ = random.Random(seed)
    lines: list[dict[str, Any]] = []
    seen: set[str] = set()
    while len(lines) < cases:
        intent = list(INTENTS)[len(lines) % len(INTENTS)]
        opening, thing, where, why = (random_.choice(phrases) for phrases in INTENTS[intent])
        number = f"{random_.randrange(10_000):04}" if random_.random() < 0.4 else None
        written = "" if number is None else random_.choice([f"Order AB{number}.", f"ab-{number}:", f"(AB {number})"])
        parts = [random_.choice(GREETINGS), written, f"{opening} {thing} {where}.", f"{why}.", random_.choice(ENDINGS)]
        text = " ".join(part for part in parts if part)
        if text not in seen:
            seen.add(text)
            order = None if number is None else f"AB{number}"
            lines.append({"input": text, "expected": {"intent": intent, "order": order}})
    return lines


def with_mixed(cases: int, mixed: int, seed: int = 0) -> list[dict[str, Any]]:
    """Plain cases and some that begin like one intent and go on like another, as real ones do: nobody gets them all right."""
    lines = messages(cases, seed)
    others = messages(2 * mixed, seed + 1)
    return lines + [
        {"input": f"{one['input'][:60]} {two['input'][-60:]}", "expected": [one, two][place % 2]["expected"]}
        for place, (one, two) in enumerate(zip(others[:mixed], others[mixed + 1 :], strict=False))
    ]


def write_workload(
    folder: Path, lines: int | Sequence[Mapping[str, Any]] = 360, endpoints: Mapping[str, Any] | None = None, /, **changes: Any
) -> Workload:
    """Write the workload into a folder, some of its keys changed, with so many gold lines or with these, and load it."""
    (folder / "replies").mkdir(parents=True, exist_ok=True)
    for intent in INTENTS:
        (folder / "replies" / f"{intent}.md").write_text(f"About your {intent}, order {{order}}.\n", encoding="utf-8")
    write_gold(folder, messages(lines) if isinstance(lines, int) else lines)
    if endpoints is not None:
        (folder / "endpoints.yaml").write_text(yaml.safe_dump(dict(endpoints)), encoding="utf-8")
    content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
    (folder / "workload.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load(folder)


def write_gold(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    (folder / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


class CountingEncoder:
    """The encoder, and how many texts it was asked to embed."""

    def __init__(self, encoder: Encoder) -> None:
        self.name = encoder.name
        self.folder = encoder.folder
        self.asked = 0
        self._encoder = encoder

    def open(self) -> None:
        self._encoder.open()

    def embed(self, texts: Sequence[str], progress: Any = None) -> NDArray[np.float32]:
        self.asked += len(texts)
        return self._encoder.embed(texts, progress)


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    """The real encoder, from the user's cache."""
    return open_encoder()


def put_to_work(folder: Path) -> Path:
    """Let the one release in a copied folder answer there, in a ledger of its own."""
    workload = load(folder)
    (name,) = list_releases(workload)
    ledger = ledger_of(workload)
    promote(workload, load_release(workload.state / "releases" / name), ledger, "test", "")
    asyncio.run(ledger.close())
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, minilm: Encoder) -> tuple[Workload, Release]:
    """The workload and its release, trained once a session: to be read, not to be changed."""
    workload = write_workload(tmp_path_factory.mktemp("small"))
    return workload, train(workload, encoder=minilm)
