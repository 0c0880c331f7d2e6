"""A headless Chromium for the pages' tests, Debian's own; where it cannot be had the tests say so and are skipped."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

SERIOUS = ("serious", "critical")


class BrowserMissing(Exception):
    """There is no Chromium on this machine."""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Raises BrowserMissing."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise BrowserMissing("no chromium on the path (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def watched(page: Page) -> list[str]:
    """What goes wrong on the page from now on: errors of scripts, what its policy forbids, requests that leave this machine."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if _bad(message) else None)
    page.on("request", lambda request: wrong.append(request.url) if "//127.0.0.1" not in request.url[:20] else None)
    return wrong


def _bad(message: ConsoleMessage) -> bool:
    """An error, but for the browser's remark that an answer was refused: what is refused the page tells."""
    return message.type == "error" and not re.search(r"status of (400|409)", message.text)


def findings(page: Page) -> list[Any]:
    """What axe finds serious about the page as it is now."""
    return [
        (found["id"], [node["html"][:200] for node in found["nodes"][:3]])
        for found in Axe().run(page).response["violations"]
        if found["impact"] in SERIOUS
    ]
