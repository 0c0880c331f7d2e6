"""Whom alarms reach, by webhook and by e-mail: signed, tried again, and no secret said when it fails."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from aiohttp import web

from rung.gateway.alarms import TRIES, deliver, document, identify, signature
from rung.ledger import Alarm
from rung.workload import Email, Webhook, WorkloadError, load

ALARM = Alarm(
    "support",
    "part",
    "channel=post",
    "At least 3.1 % are wrong; 2 % are promised ✗.",
    datetime(2026, 11, 2, 9, 30, tzinfo=UTC),
)
FILE = """
workload: support
task: Name the intent.
labels: [refund, other]
gold: gold.jsonl
promise: {error: 0.02, confidence: 0.95}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNG_WEBHOOK_SECRET", "RUNG_SMTP_URL", "RUNG_SMTP_FROM", "RUNG_HOOK"):
        monkeypatch.delenv(name, raising=False)


# The file


def with_alarms(folder: Path, alarms: str) -> Path:
    (folder / "gold.jsonl").write_text("")
    (folder / "workload.yaml").write_text(f"{FILE}alarms: {alarms}\n")
    return folder


def test_the_file_names_who_is_told(tmp_path: Path) -> None:
    given = (
        "[{webhook: 'https://hooks.example/a?b=c'}, {webhook: RUNG_HOOK}, {email: [on.call@shop.example, o'neil@shop.example]}]"
    )
    told = load(with_alarms(tmp_path, given)).alarms
    emails = Email(("on.call@shop.example", "o'neil@shop.example"))
    assert told == (Webhook("https://hooks.example/a?b=c"), Webhook("RUNG_HOOK"), emails)


def test_every_mistake_about_alarms_is_told_with_its_place(tmp_path: Path) -> None:
    addresses = "[nobody, 'a@b.example\\nbcc@c.example']"
    given = f"[{{webhook: 'ftp://x'}}, {{email: {addresses}}}, {{}}, {{sms: 1}}, pager, {{webhook: A, email: [a@b.c]}}]"
    with pytest.raises(WorkloadError) as refused:
        load(with_alarms(tmp_path, given))
    places = ["alarms.0.webhook", "alarms.1.email.0", "alarms.1.email.1", "alarms.2", "alarms.3.sms", "alarms.4", "alarms.5"]
    assert sorted(place for place, _ in refused.value.mistakes) == places


def documented(kind: str) -> str:
    page = (Path(__file__).resolve().parent.parent / "docs/operating.md").read_text("utf-8")
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return block


def test_the_documented_alarms_load_and_the_documented_alarm_is_one(tmp_path: Path) -> None:
    told = load(with_alarms(tmp_path, json.dumps(yaml.safe_load(documented("yaml"))["alarms"]))).alarms
    assert told == (Webhook("https://hooks.shop.example/rung"), Email(("oncall@shop.example",)))
    shown = replace(ALARM, text="At least 3.1 % of its answers are wrong; 2 % are promised.")
    assert json.loads(documented("json")) == document(shown)


# Webhooks


@dataclass
class Hook:
    """What was posted, and what is answered: the last answer again and again."""

    answers: list[int]
    url: str = ""
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.posted.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, text="nonsense from hunter2", headers={"location": "/elsewhere"})


@asynccontextmanager
async def hooked(*answers: int) -> AsyncIterator[Hook]:
    hook = Hook(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hook.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook.url = f"http://127.0.0.1:{cast(Any, runner.addresses[0])[1]}/services/T0K3N?key=hunter2"
    try:
        yield hook
    finally:
        await runner.cleanup()


def posted_to(*answers: int, alarm: Alarm = ALARM) -> tuple[Hook, list[str]]:
    async def go() -> tuple[Hook, list[str]]:
        async with hooked(*answers) as hook:
            return hook, await deliver(alarm, [Webhook(hook.url)], pause=0.01)

    return asyncio.run(go())


def test_a_webhook_is_posted_the_alarm_and_nothing_else() -> None:
    hook, failures = posted_to(204)
    ((headers, body),) = hook.posted
    assert failures == [] and headers["content-type"] == "application/json" and "x-rung-signature" not in headers
    assert json.loads(body) == {
        "id": identify(ALARM),
        "workload": "support",
        "kind": "part",
        "subject": "channel=post",
        "text": ALARM.text,
        "at": "2026-11-02T09:30:00+00:00",
        "cleared": False,
    }


def test_a_secret_signs_the_body_and_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_WEBHOOK_SECRET", "hunter2")
    hook, _ = posted_to(200)
    ((headers, body),) = hook.posted
    given = headers["x-rung-signature"]
    at = int(given.split(",")[0].removeprefix("t="))
    assert abs(at - datetime.now(UTC).timestamp()) < 60
    assert given == signature("hunter2", body, at)
    assert given not in (
        signature("hunter3", body, at),
        signature("hunter2", body + b" ", at),
        signature("hunter2", body, at + 1),
    )


def test_a_webhook_that_fails_is_tried_again_until_it_works() -> None:
    hook, failures = posted_to(503, 429, 200)
    assert failures == [] and len(hook.posted) == 3
    assert len({json.loads(body)["id"] for _, body in hook.posted}) == 1


def test_a_webhook_that_goes_on_failing_is_reported_without_its_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hook, failures = posted_to(500)
    assert failures == [f"webhook 127.0.0.1: HTTP 500 ({TRIES} tries)"] and len(hook.posted) == TRIES
    assert "hunter2" not in caplog.text and "T0K3N" not in caplog.text


@pytest.mark.parametrize(
    ("status", "words"), [(404, "HTTP 404"), (302, "HTTP 302 (a redirect, which is not followed)"), (410, "HTTP 410")]
)
def test_what_another_try_would_not_change_is_not_tried_again(status: int, words: str) -> None:
    hook, failures = posted_to(status)
    assert failures == [f"webhook 127.0.0.1: {words}"] and len(hook.posted) == 1


def test_nobody_listening_is_a_failure_in_words() -> None:
    (failure,) = asyncio.run(deliver(ALARM, [Webhook("http://hunter2:hunter2@127.0.0.1:9/hunter2")], pause=0.01))
    assert failure == f"webhook 127.0.0.1: ClientConnectorError ({TRIES} tries)"


def test_an_address_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    (failure,) = asyncio.run(deliver(ALARM, [Webhook("RUNG_HOOK")]))
    assert failure == "webhook RUNG_HOOK: this environment variable is not set: give it the webhook's address"
    for odd in ("hunter2", "http://", "http://[hunter2", "https:///hunter2", "http://a b:c/"):
        monkeypatch.setenv("RUNG_HOOK", odd)
        (failure,) = asyncio.run(deliver(ALARM, [Webhook("RUNG_HOOK")], pause=0.01))
        assert failure.startswith("webhook RUNG_HOOK: ") and "hunter2" not in failure and "tries" not in failure

    async def go() -> tuple[Hook, list[str]]:
        async with hooked(200) as hook:
            monkeypatch.setenv("RUNG_HOOK", hook.url)
            return hook, await deliver(ALARM, [Webhook("RUNG_HOOK")])

    hook, failures = asyncio.run(go())
    assert failures == [] and len(hook.posted) == 1


def test_one_channel_that_fails_takes_no_other_with_it() -> None:
    async def go() -> tuple[Hook, list[str]]:
        async with hooked(200) as hook:
            return hook, await deliver(ALARM, [Webhook("RUNG_HOOK"), Email(("a@b.example",)), Webhook(hook.url)], pause=0.01)

    hook, failures = asyncio.run(go())
    assert len(hook.posted) == 1
    assert [failure.split(":")[0] for failure in failures] == ["webhook RUNG_HOOK", "e-mail to a@b.example"]


# E-mail


@dataclass
class Post:
    """A mail server of a few lines: what it was told, and what it answers to some commands."""

    answers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    told: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    port: int = 0
    encrypted: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.encrypted = writer.get_extra_info("ssl_object") is not None

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        await say("220 ready")
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            self.told.append(line)
            if verb in self.answers:
                await say(self.answers[verb])
            elif verb == "EHLO":
                offers = ["250-here"] + (["250-STARTTLS"] if self.tls and not self.encrypted else []) + ["250 AUTH PLAIN"]
                await say("\r\n".join(offers))
            elif verb == "STARTTLS":
                await say("220 go on")
                await writer.start_tls(cast(ssl.SSLContext, self.tls))
                self.encrypted = True
            elif verb == "DATA":
                await say("354 go on")
                mail = b""
                while (part := await reader.readline()) != b".\r\n":
                    mail += part
                self.mails.append(mail)
                await say("250 taken")
            else:
                await say("221 bye" if verb == "QUIT" else "235 welcome" if verb == "AUTH" else "250 fine")
            if verb == "QUIT":
                break
        writer.close()


def mailed(post: Post, to: Email, address: Callable[[int], None], implicit: bool = False) -> list[str]:
    """Deliver to a mail server that listens for as long; `address` is told its port."""

    async def go() -> list[str]:
        server = await asyncio.start_server(post.serve, "127.0.0.1", 0, ssl=post.tls if implicit else None)
        async with server:
            address(server.sockets[0].getsockname()[1])
            return await deliver(ALARM, [to], pause=0.01)

    return asyncio.run(go())


def at(monkeypatch: pytest.MonkeyPatch, url: str, sender: str = "Rung <rung@shop.example>") -> Callable[[int], None]:
    def set_address(port: int) -> None:
        monkeypatch.setenv("RUNG_SMTP_URL", url.format(port=port))
        monkeypatch.setenv("RUNG_SMTP_FROM", sender)

    return set_address


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for this machine, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with: mail over TLS is NOT TESTED")
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"]
    subprocess.run([*made, *names, *files], check=True, capture_output=True)
    return folder


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    return context


TO = Email(("first@shop.example", "second@shop.example"))


def test_an_email_says_what_is_wrong_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post()
    assert mailed(post, TO, at(monkeypatch, "smtp://127.0.0.1:{port}")) == []
    mail = message_from_bytes(post.mails[0], policy=policy.default)
    assert mail["subject"] == "Alarm: support, part, channel=post"
    assert (mail["from"], mail["to"]) == ("Rung <rung@shop.example>", "first@shop.example, second@shop.example")
    assert mail["message-id"] == f"<{identify(ALARM)}@shop.example>" and mail["auto-submitted"] == "auto-generated"
    assert mail["date"].datetime == ALARM.at
    text = mail.get_content()
    assert text.startswith(ALARM.text) and "2026-11-02 09:30:00 UTC" in text
    assert [line for line in post.told if line.startswith("rcpt")] == [f"rcpt TO:<{address}>" for address in TO.to]


@pytest.mark.parametrize("implicit", [False, True])
def test_the_password_goes_over_tls(monkeypatch: pytest.MonkeyPatch, certificate: Path, implicit: bool) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate.pem"))
    post = Post(tls=server_side(certificate))
    url = "smtp%s://rung%%40shop.example:p%%40ss@127.0.0.1:{port}" % ("s" if implicit else "")
    assert mailed(post, TO, at(monkeypatch, url, sender=""), implicit) == []
    login = next(line for line in post.told if line.startswith("AUTH")).split()[-1]
    assert base64.b64decode(login) == b"\0rung@shop.example\0p@ss" and post.encrypted
    assert message_from_bytes(post.mails[0])["from"] == "rung@shop.example"


def test_a_certificate_that_nobody_vouches_for_is_refused(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    post = Post(tls=server_side(certificate))
    (failure,) = mailed(post, TO, at(monkeypatch, "smtp://rung:hunter2@127.0.0.1:{port}"))
    assert failure.endswith("the mail server cannot be used: SSLCertVerificationError")
    assert not any("AUTH" in line for line in post.told)


def test_without_tls_the_password_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post()
    (failure,) = mailed(post, TO, at(monkeypatch, "smtp://rung:hunter2@127.0.0.1:{port}"))
    assert failure.endswith("the mail server offers no TLS, and without it the password is not sent")
    assert not any("AUTH" in line for line in post.told) and post.mails == []


def test_a_wrong_password_is_not_said_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate.pem"))
    post = Post({"AUTH": "535 not with hunter2"}, server_side(certificate))
    (failure,) = mailed(post, TO, at(monkeypatch, "smtp://rung:hunter2@127.0.0.1:{port}"))
    assert failure == "e-mail to first@shop.example, second@shop.example: the mail server answered 535"
    assert "hunter2" not in caplog.text


def test_a_mail_server_that_is_busy_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post({"MAIL": "451 later"})
    (failure,) = mailed(post, TO, at(monkeypatch, "smtp://127.0.0.1:{port}"))
    assert failure.endswith(f"the mail server answered 451 ({TRIES} tries)")
    assert sum(line.startswith("mail") for line in post.told) == TRIES


def test_addresses_that_are_refused_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (failure,) = mailed(Post({"RCPT": "550 no such user"}), TO, at(monkeypatch, "smtp://127.0.0.1:{port}"))
    assert failure.endswith("refused 2 of 2 addresses: first@shop.example (550), second@shop.example (550)")


def test_a_alarm_of_many_lines_makes_one_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_SMTP_FROM", "rung@shop.example")
    post, alarm = Post(), replace(ALARM, subject="a\r\nBcc: thief@evil.example", cleared=ALARM.at)

    async def go() -> list[str]:
        async with await asyncio.start_server(post.serve, "127.0.0.1", 0) as server:
            monkeypatch.setenv("RUNG_SMTP_URL", f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            return await deliver(alarm, [TO])

    assert asyncio.run(go()) == []
    mail = message_from_bytes(post.mails[0], policy=policy.default)
    assert mail["subject"] == "Well again: support, part, a Bcc: thief@evil.example" and mail["bcc"] is None


@pytest.mark.parametrize(
    "url", ["", "mail.example", "http://mail.example", "smtp://", "smtp://hunter2:x@host:port", "smtp://a:b@c:9/hunter2"]
)
def test_an_odd_mail_server_is_told_without_repeating_it(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RUNG_SMTP_URL", url)
    (failure,) = asyncio.run(deliver(ALARM, [TO], pause=0.01))
    assert "RUNG_SMTP_URL is not set to smtp://host:port" in failure and "hunter2" not in failure


def test_without_a_sender_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_SMTP_URL", "smtp://127.0.0.1:9")
    (failure,) = asyncio.run(deliver(ALARM, [TO], pause=0.01))
    assert "RUNG_SMTP_FROM is not set" in failure
