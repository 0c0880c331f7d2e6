"""Turns an application into a server: binds, serves, and drains when told to stop. Knows nothing about routes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from rung.core import RungError
from rung.gateway.app import Gateway
from rung.gateway.guard import is_loopback, proxies
from rung.gateway.refusal import Refusal

HEADER_BYTES = 1 << 16
HEADER_SECONDS = 5.0
REQUEST_SECONDS = 15.0  # longer than the application waits for a body, so that its refusal reaches the caller
IDLE_SECONDS = 30  # that a connection is kept between requests: longer than clients keep theirs, so that they end it
DRAIN_SECONDS = 30  # that requests in flight are given to end

_PIECE = 1 << 14


class GatewayError(RungError):
    """The gateway cannot be opened where it was asked to."""

    code = "gateway_unavailable"


def require_port(host: str, port: int) -> None:
    """Raise GatewayError unless the port can be had now: worth knowing before an hour of training."""
    _bind(host, port).close()


async def serve(app: Gateway, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then let the requests in flight end. A second signal ends the process at once.

    `ready` is called with the server's address once it answers. Runs on any event loop; uvloop's is the fastest:
    `uvloop.run(serve(...))`. Raises GatewayError.
    """
    async with serving(app, host, port) as url:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for each in signals:
            loop.add_signal_handler(each, stop.set)
        try:
            ready(url)
            await stop.wait()
        finally:
            for each in signals:
                loop.remove_signal_handler(each)


@asynccontextmanager
async def serving(app: Gateway, host: str, port: int) -> AsyncGenerator[str]:
    """Serve inside the `async with`, which gives the server's address; port 0 takes a free one. Raises GatewayError."""
    if app.open_access and not is_loopback(host):
        raise GatewayError(
            f"Without API keys only this machine may ask, and {host} is open to others. "
            "Next: make a key and serve with keys, or serve on 127.0.0.1."
        )
    bound = _bind(host, port)
    name, taken = bound.getsockname()[:2]
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=bool(proxies()),
        forwarded_allow_ips=proxies(),
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        await server.listening.wait()
        yield f"http://[{name}]:{taken}" if ":" in name else f"http://{name}:{taken}"
    finally:
        server.should_exit = True
        await running


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise GatewayError(f"{host} is not an address of this machine: {error}. Next: choose another --host.") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or a restart would wait for old connections to fade
        bound.bind(address)
        bound.listen(2048)  # two sockets may be bound to one port until one of them listens
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise GatewayError(f"Port {port} on {host} cannot be had: {reason}. Next: choose another with --port.") from error
    return bound


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process by the signal instead of returning."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on the size of a header and on the time a request may take to arrive."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_header = True
        self._received = 0  # bytes of the header, or since the last of the body: a trailer is a header too
        self._stage: float | None = None  # the bound on time that now runs, in seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._set_deadline(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._received += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
            if self._received > HEADER_BYTES:
                self._refuse(Refusal(431, "header_too_large", f"The header is larger than {HEADER_BYTES} bytes."))
                return
        if not self._in_header:
            self._set_deadline(REQUEST_SECONDS)
        else:
            self._set_deadline(None if self._answering() else HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_header, self._received = False, 0

    def on_body(self, body: bytes) -> None:
        self._received = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_header, self._received = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Refusal(400, "invalid_http", msg))

    def _unsupported_upgrade_warning(self) -> None:
        self.cycle.keep_alive = False  # the parser passes over the body, which must not be taken for the next request

    def _set_deadline(self, seconds: float | None) -> None:
        """Let this bound run, if it does not already: sending a byte now and then must not extend it."""
        if seconds == self._stage:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._stage = seconds
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        if self._in_header and not self._received:
            self.transport.close()  # nothing was asked, so nothing is answered
        else:
            self._refuse(Refusal(408, "request_timeout", "The request did not arrive in time."))

    def _refuse(self, refusal: Refusal) -> None:
        """End the connection, with the reason where no other response has begun."""
        if not (self._answering() if self._in_header else self.cycle.response_started):
            body = refusal.body()
            length = b"content-length: %d\r\n" % len(body)
            head = STATUS_LINE[refusal.status] + b"content-type: application/json\r\nconnection: close\r\n" + length
            self.transport.write(head + b"\r\n" + body)
        self.transport.close()

    def _answering(self) -> bool:
        """Whether a request that has arrived still waits for the end of its response."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first, whatever uvicorn's annotation says
        return cycle is not None and not cycle.response_complete
