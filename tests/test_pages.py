"""Who sees the pages: signing in, roles, and what another site's page must not be able to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from playwright.sync_api import Page

from browser import findings
from gateway_stage import Stage, staged
from rung.gateway.pages import hash_password
from rung.gateway.pages.visitors import TRIES

HTML = {"accept": "text/html"}
PASSWORD = "correct horse"


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, open_access=False) as stage:
        stage.ledger.people.add("vic", "viewer", hash_password(PASSWORD), datetime.now(UTC))
        yield stage


def call(stage: Stage, method: str, path: str, cookie: str = "", **form: str) -> tuple[int, dict[str, str], str]:
    """One request, its redirect not followed."""

    async def once() -> tuple[int, dict[str, str], str]:
        headers = HTML | ({"cookie": cookie} if cookie else {})
        if form:
            headers["content-type"] = "application/x-www-form-urlencoded"
        headers |= {
            name.removeprefix("header_").replace("_", "-"): form.pop(name) for name in [*form] if name.startswith("header_")
        }
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, stage.url + path, data=urlencode(form), headers=headers, allow_redirects=False) as reply,
        ):
            return reply.status, {name.lower(): value for name, value in reply.headers.items()}, await reply.text()

    with ThreadPoolExecutor(1) as elsewhere:  # while there is a `tab`, its loop has this thread
        return elsewhere.submit(asyncio.run, once()).result()


def signed_in(stage: Stage, name: str = "vic") -> str:
    status, headers, _ = call(stage, "POST", "/sign-in", name=name, password=PASSWORD)
    assert (status, headers["location"]) == (303, "/")
    return headers["set-cookie"].split(";")[0]


def test_who_is_not_signed_in_is_asked_to(closed: Stage) -> None:
    status, headers, _ = call(closed, "GET", "/")
    assert (status, headers["location"]) == (303, "/sign-in")
    status, _, page = call(closed, "GET", "/sign-in")
    assert status == 200 and 'type="password"' in page


def test_who_signs_in_comes_to_the_page_they_wanted_and_to_no_other_site(closed: Stage) -> None:
    wanted = "/w/support/decisions?outcome=review&tier=person"
    status, headers, _ = call(closed, "GET", wanted)
    way = "/sign-in?to=/w/support/decisions%3Foutcome%3Dreview%26tier%3Dperson"
    assert (status, headers["location"]) == (303, way)
    assert f'name="to" value="{wanted.replace("&", "&amp;")}"' in call(closed, "GET", way)[2]
    assert 'name="to"' in call(closed, "POST", "/sign-in", name="vic", password="wrong", to=wanted)[2]
    assert call(closed, "POST", "/sign-in", name="vic", password=PASSWORD, to=wanted)[1]["location"] == wanted
    for elsewhere in ("https://evil.example/w/", "//evil.example/", "/\\evil.example/w/", "/w/a\r\nset-cookie: b", "/sign-out"):
        assert call(closed, "POST", "/sign-in", name="vic", password=PASSWORD, to=elsewhere)[1]["location"] == "/"


def test_a_session_opens_the_pages_until_it_is_ended(closed: Stage) -> None:
    cookie = signed_in(closed)
    assert call(closed, "GET", "/", cookie)[1]["location"] == "/w/support/overview"
    call(closed, "POST", "/sign-out", cookie, x="")
    assert call(closed, "GET", "/", cookie)[1]["location"] == "/sign-in"


def test_a_cookie_is_kept_from_scripts_and_other_sites(closed: Stage) -> None:
    _, headers, _ = call(closed, "POST", "/sign-in", name="vic", password=PASSWORD)
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=strict" in headers["set-cookie"]


@pytest.mark.parametrize("believed", ["127.0.0.1", ""])
def test_behind_a_proxy_that_is_believed_the_cookie_is_for_https_and_this_host_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, believed: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", believed)
    asked = {"header_x_forwarded_proto": "https", "header_host": "rung.example", "header_origin": "https://rung.example"}
    with staged(tmp_path, open_access=False) as stage:
        stage.ledger.people.add("vic", "viewer", hash_password(PASSWORD), datetime.now(UTC))
        status, headers, _ = call(stage, "POST", "/sign-in", name="vic", password=PASSWORD, **asked)
        cookie, *said = headers["set-cookie"].split("; ")
        assert status == 303 and {"HttpOnly", "SameSite=strict", "Path=/"} < {*said}
        assert cookie.startswith("__Host-" if believed else "rung-session=") and ("Secure" in said) == bool(believed)
        assert call(stage, "GET", "/", cookie, **asked)[1]["location"] == "/w/support/overview"
        if believed:  # what came by plain HTTP, or another host's page has set, opens nothing
            assert call(stage, "GET", "/", cookie)[1]["location"] == "/sign-in"
            assert call(stage, "GET", "/", cookie.removeprefix("__Host-"), **asked)[1]["location"] == "/sign-in"
        foreign = asked | {"header_origin": "https://evil.example"}
        assert call(stage, "POST", "/sign-out", cookie, x="", **foreign)[0] == 403
        status, headers, _ = call(stage, "POST", "/sign-out", cookie, x="", **asked)
        gone = headers["set-cookie"].split("; ")
        assert status == 303 and gone[0].startswith(cookie.split("=")[0]) and ("Secure" in gone) == bool(believed)
        assert call(stage, "GET", "/", cookie, **asked)[1]["location"] == "/sign-in"


def test_behind_a_proxy_a_wrong_password_slows_its_own_address_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    with staged(tmp_path, open_access=False) as stage:
        stage.ledger.people.add("vic", "viewer", hash_password(PASSWORD), datetime.now(UTC))
        for _ in range(TRIES + 1):
            status = call(stage, "POST", "/sign-in", name="vic", password="wrong", header_x_forwarded_for="9.9.9.9, 8.8.8.8")[0]
        assert status == 429
        assert call(stage, "POST", "/sign-in", name="vic", password=PASSWORD, header_x_forwarded_for="9.9.9.9")[0] == 303


def test_a_wrong_password_is_told_and_many_are_slowed(closed: Stage) -> None:
    for _ in range(TRIES):
        status, _, page = call(closed, "POST", "/sign-in", name="vic", password="wrong")
        assert status == 403 and "not the password" in page
    status, headers, _ = call(closed, "POST", "/sign-in", name="vic", password=PASSWORD)
    assert status == 429 and int(headers["retry-after"]) > 0


def test_another_site_cannot_make_a_browser_change_anything(closed: Stage) -> None:
    cookie = signed_in(closed)
    for sign in ({"header_sec_fetch_site": "cross-site"}, {"header_origin": "https://evil.example"}):
        assert call(closed, "POST", "/sign-out", cookie, x="", **sign)[0] == 403
    assert call(closed, "GET", "/", cookie)[1]["location"] == "/w/support/overview"  # still signed in


def test_with_open_access_nobody_signs_in(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        assert call(stage, "GET", "/")[1]["location"] == "/w/support/overview"
        assert call(stage, "GET", "/sign-in")[0] == 303


def test_pages_come_with_a_policy_that_lets_them_ask_nobody_else(closed: Stage) -> None:
    _, headers, page = call(closed, "GET", "/sign-in")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "style=" not in page and "onclick" not in page


def test_what_a_visitor_types_into_the_address_is_text(closed: Stage) -> None:
    status, _, page = call(closed, "GET", "/w/%3Cscript%3E", signed_in(closed))
    assert status == 404 and "<script>" not in page and "&lt;script&gt;" in page


def test_signing_in_by_hand_leads_to_the_pages(closed: Stage, tab: Page) -> None:
    tab.goto(closed.url)
    tab.get_by_label("Name").fill("vic")
    tab.get_by_label("Password").fill(PASSWORD)
    assert findings(tab) == []
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Sign out").wait_for()
    tab.get_by_role("button", name="Light or dark").click()
    assert tab.locator("html").get_attribute("data-theme") in ("light", "dark")
