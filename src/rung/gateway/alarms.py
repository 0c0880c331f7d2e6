"""Turns an alarm into calls of webhooks and into e-mails. Knows nothing about why there is one, and names no secret.

The environment holds what is secret: `RUNG_WEBHOOK_SECRET` signs calls; `RUNG_SMTP_URL`, `smtp(s)://user:password@host:port`, and
`RUNG_SMTP_FROM` send e-mails.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import smtplib
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from textwrap import shorten
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from rung.ledger import Alarm
from rung.workload import Email, Webhook

TRIES = 3
PAUSE = 1.0  # seconds before the second try, and twice as many before the third
REFUSALS = (400, 409, 413, 415, 422)  # answers that are about the document, and not about the address or the signature
SECONDS = 10.0  # that a webhook has for its answer, and a mail server for each of its own; all of those within three times that
SIGNATURE = "x-rung-signature"


def identify(alarm: Alarm) -> str:
    """The same for every try to tell that it rings, on every channel, and another one for that it was cleared."""
    parts = (alarm.workload, alarm.kind, alarm.subject, alarm.at.isoformat(), alarm.cleared is not None)
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]


def document(alarm: Alarm) -> dict[str, Any]:
    """The alarm as webhooks are told it; `at` is when what is told came about."""
    named = {name: getattr(alarm, name) for name in ("workload", "kind", "subject", "text")}
    at = alarm.cleared or alarm.at
    return {"id": identify(alarm), **named, "at": at.isoformat(), "cleared": alarm.cleared is not None}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed, in words that hold neither a secret nor what the other side said; whether another may succeed; whether
    this was refused, and other documents may not be."""

    words: str
    passing: bool = False
    refused: bool = False


async def deliver(alarm: Alarm, channels: Iterable[Webhook | Email], pause: float = PAUSE) -> list[str]:
    """Tell every channel, all at once, and say of each that could not be told why; never raises because of one.

    What may pass is tried `TRIES` times, `pause` seconds and then twice as many apart, so a channel may be told twice: by the
    `id` it knows.
    """

    def sender(channel: Webhook | Email) -> Callable[[], Awaitable[Failure | None]]:
        if isinstance(channel, Webhook):
            return lambda: _post(channel, document(alarm))
        return lambda: _mail(channel, alarm)

    told = await asyncio.gather(*(_tell(channel, sender(channel), pause) for channel in channels))
    return [failure.words for failure in told if failure]


def signature(secret: str, body: bytes, at: int) -> str:
    """What the header `x-rung-signature` says of a body sent at a time (Unix seconds): `t=TIME,v1=HEX`, HMAC-SHA256 of
    `TIME.BODY`. Who receives it refuses times long past, so that nobody can send an old call again."""
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, sha256).hexdigest()}"


async def post(webhook: Webhook, said: Mapping[str, Any], pause: float = PAUSE) -> Failure | None:
    """Post a document to a webhook, signed as alarms are; the reason if that failed, what may pass `TRIES` times."""
    return await _tell(webhook, lambda: _post(webhook, said), pause)


async def _tell(channel: Webhook | Email, send: Callable[[], Awaitable[Failure | None]], pause: float) -> Failure | None:
    tries = 0
    while True:
        tries += 1
        failure = await send()
        if failure is None:
            return None
        if tries == TRIES or not failure.passing:
            return replace(failure, words=f"{_name(channel)}: {failure.words}" + (f" ({tries} tries)" if tries > 1 else ""))
        await asyncio.sleep(pause)
        pause *= 2


def _name(channel: Webhook | Email) -> str:
    """What a person knows a channel by: of an address only the host, for what follows may be a secret."""
    if isinstance(channel, Email):
        return f"e-mail to {', '.join(channel.to)}"
    return f"webhook {_host(channel.to) or channel.to}"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _post(webhook: Webhook, said: Mapping[str, Any]) -> Failure | None:
    named = re.fullmatch("[A-Z][A-Z0-9_]*", webhook.to)
    url = os.environ.get(webhook.to, "") if named else webhook.to
    if not url:
        return Failure("this environment variable is not set: give it the webhook's address")
    if not re.match("https?://", url) or not _host(url):
        return Failure("this is not an http(s) address")
    body = json.dumps(said).encode()
    headers = {"content-type": "application/json", "user-agent": "rung"}
    if secret := os.environ.get("RUNG_WEBHOOK_SECRET"):
        headers[SIGNATURE] = signature(secret, body, int(time.time()))
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as reply,
        ):
            status = reply.status
    except TimeoutError:
        return Failure(f"no answer within {SECONDS:g} s", passing=True)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # only the kind of error: its text may hold the address
        return Failure(type(error).__name__, passing=not isinstance(error, ValueError))
    if 200 <= status < 300:
        return None
    where = " (a redirect, which is not followed)" if 300 <= status < 400 else ""
    passing = status in (408, 429) or status >= 500
    return Failure(f"HTTP {status}{where}", passing, refused=status in REFUSALS)


async def _mail(email: Email, alarm: Alarm) -> Failure | None:
    try:
        async with asyncio.timeout(3 * SECONDS):
            return await asyncio.to_thread(_send, email.to, alarm)
    except TimeoutError:
        return Failure("the mail server took too long", passing=True)
    except smtplib.SMTPResponseException as error:  # only its number: servers repeat what they were told
        return Failure(f"the mail server answered {error.smtp_code}", passing=400 <= error.smtp_code < 500)
    except smtplib.SMTPRecipientsRefused as error:
        return _refused(error.recipients, email.to, passing=all(code < 500 for code, _ in error.recipients.values()))
    except (OSError, ValueError) as error:
        lasting = (ValueError, smtplib.SMTPNotSupportedError)  # a certificate that is not trusted is a ValueError too
        return Failure(f"the mail server cannot be used: {type(error).__name__}", passing=not isinstance(error, lasting))


def _send(to: Sequence[str], alarm: Alarm) -> Failure | None:
    """Blocks. Raises what smtplib does."""
    url = os.environ.get("RUNG_SMTP_URL", "")
    server = urlsplit(url if re.fullmatch(r"smtps?://([^@/]*@)?([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?/?", url) else "")
    if not server.hostname:
        return Failure("RUNG_SMTP_URL is not set to smtp://host:port or smtps://host:port, with user:password@ if need be")
    user, password = unquote(server.username or ""), unquote(server.password or "")
    sender = os.environ.get("RUNG_SMTP_FROM") or user
    if "@" not in sender:
        return Failure("RUNG_SMTP_FROM is not set: give it the address that e-mails come from")
    context, safe = ssl.create_default_context(), server.scheme == "smtps"
    if safe:
        line = smtplib.SMTP_SSL(server.hostname, server.port or 465, timeout=SECONDS, context=context)
    else:
        line = smtplib.SMTP(server.hostname, server.port or 25, timeout=SECONDS)
    with line:
        line.ehlo()
        if not safe and line.has_extn("starttls"):
            line.starttls(context=context)
            safe = True
        if user and not safe:
            return Failure("the mail server offers no TLS, and without it the password is not sent")
        if user:
            line.login(user, password)
        refused = line.send_message(_message(sender, to, alarm))
    return _refused(refused, to) if refused else None


def _refused(refused: Mapping[str, tuple[int, bytes]], to: Sequence[str], passing: bool = False) -> Failure:
    answers = ", ".join(f"{address} ({code})" for address, (code, _) in refused.items())
    return Failure(f"the mail server refused {len(refused)} of {len(to)} addresses: {answers}", passing)


def _message(sender: str, to: Sequence[str], alarm: Alarm) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    state = "Well again" if alarm.cleared else "Alarm"
    about = ", ".join(filter(None, (alarm.workload, alarm.kind, alarm.subject)))
    message["Subject"] = shorten(f"{state}: {about}", 150, placeholder=" ...")
    message["Date"] = format_datetime(alarm.cleared or alarm.at)
    message["Message-ID"] = f"<{identify(alarm)}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{alarm.text}\n\n{state} since {(alarm.cleared or alarm.at):%Y-%m-%d %H:%M:%S %Z}: {about}.\n")
    return message
