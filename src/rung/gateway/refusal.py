"""Turns what is wrong with a request into the answer an OpenAI client understands. Knows nothing about routes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

LONGEST = 500  # characters of a message: it may repeat what the caller sent


class Refusal(Exception):
    """A request without an answer: the HTTP status and OpenAI's words for why. `param` names the part that is at fault."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Refuse, in words that may leave the server."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers

    def body(self) -> bytes:
        """The refusal as OpenAI's error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self)[:LONGEST], "type": kind, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})

    def response(self) -> Response:
        """The refusal as an HTTP response."""
        return Response(self.body(), self.status, self.headers, "application/json")
