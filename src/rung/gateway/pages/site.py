"""Turns a page's data into HTML within one frame, and lets in only those who may see it. Knows nothing about what pages show."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rung.charts import Block, render_fragment
from rung.gateway.guard import Guard
from rung.gateway.pages import words
from rung.gateway.pages.past import Past
from rung.gateway.pages.visitors import Visitors
from rung.gateway.refusal import Refusal
from rung.gateway.wire import receive
from rung.ledger import Action, Ledger, Role

if TYPE_CHECKING:
    from rung.gateway.watching import Watch
    from rung.release.live import Live

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
FIELDS = 200  # of a form
THEMES = ("light", "dark")
TABS = (
    ("overview", "Overview"),
    ("review", "Review"),
    ("decisions", "Decisions"),
    ("releases", "Releases"),
    ("workload", "Workload"),
    ("playground", "Playground"),
    ("report", "Report"),
)

Show = Callable[[Request], Awaitable[Response]]


class Site:
    """What every page needs: the workloads, the ledger, the frame, and who asks."""

    def __init__(self, watches: Mapping[str, Watch], ledger: Ledger, guard: Guard, visitors: Visitors) -> None:
        """Read the templates and files that the pages are made of."""
        lives = {name: watch.live for name, watch in watches.items()}
        self.lives = lives
        self.watches = watches
        self.ledger = ledger
        self._pasts = {name: Past(live, ledger) for name, live in lives.items()}
        self.visitors = visitors
        self._guard = guard
        self._files = _read_files()
        self._jinja = jinja2.Environment(
            loader=jinja2.PackageLoader("rung.gateway.pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.filters.update({**words.FILTERS, "address": self._address})

    def page(self, path: str, show: Show, role: Role | None = "viewer", method: str = "GET") -> Route:
        """A route for those who have at least this role; None is for everybody."""
        return PageRoute(path, show, self, self._guard, role, method)

    def live(self, request: Request) -> Live:
        """The workload that the page's address names. Raises Refusal."""
        name = request.path_params["workload"]
        if name not in self.lives:
            raise Refusal(404, "workload_not_found", f"There is no workload {name[:100]!r} here.")
        return self.lives[name]

    def past(self, request: Request) -> Past:
        """What has become of that workload's cases."""
        return self._pasts[self.live(request).workload.name]

    def render(self, request: Request, template: str, status: int = 200, **data: Any) -> Response:
        """A page in its frame. `data` is what the template shows; `title` and `tab` (of `TABS`) may be among it."""
        name = request.path_params.get("workload")
        live = self.lives.get(name) if name else None
        theme = request.cookies.get("theme", "")
        frame = {
            "workload": live and live.workload,
            "release": live and live.release,
            "workloads": list(self.lives),
            "visitor": getattr(request.state, "visitor", None),
            "theme": theme if theme in THEMES else "",
            "tabs": TABS,
            "tab": "",
            "now": datetime.now(UTC),
        }
        body = self._jinja.get_template(template).render(frame | data)
        return Response(body.encode("utf-8", "replace"), status, HEADERS, "text/html")

    def note(self, request: Request, what: str, subject: str, detail: str = "") -> None:
        """Keep what the visitor did. Blocks for a query."""
        self.ledger.people.note(Action(datetime.now(UTC), request.state.visitor.name, what, subject, detail))

    async def file(self, request: Request) -> Response:
        """A style or script of the pages; its address changes with its content."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise Refusal(404, "not_found", "There is no such file.")
        kind = "text/css" if request.path_params["name"].endswith(".css") else "text/javascript"
        headers = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
        return Response(found, headers=headers, media_type=kind)

    def _address(self, name: str) -> str:
        return f"/static/{name}?{hashlib.sha256(self._files[name]).hexdigest()[:12]}"


class PageRoute(Route):
    """A route for visitors of a role. What is refused, they are told on a page, or in JSON if their script asked."""

    def __init__(self, path: str, show: Show, site: Site, guard: Guard, role: Role | None, method: str) -> None:
        """Answer this method on this path with what `show` returns."""
        super().__init__(path, show, methods=[method])
        self._show, self._site, self._guard = show, site, guard
        self._role: Role | None = role

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        request = Request(scope, receive)
        try:
            if scope["method"] not in (self.methods or ()):
                raise Refusal(405, "method_not_allowed", f"{scope['method'][:10]} is not allowed here.")
            with self._guard.place():
                response = await self._answer(request)
        except Refusal as refusal:
            response = self._refuse(request, refusal)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        visitor = await self._site.visitors.visitor(request)
        request.state.visitor = visitor
        if self._role is None:
            return await self._show(request)
        if visitor is None:
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                way = "/sign-in" if wanted == "/" else f"/sign-in?to={quote(wanted, safe='/')}"
                return Response(status_code=303, headers={"location": way})
            raise Refusal(401, "not_signed_in", "You are not signed in any more: sign in and try again.")
        if not visitor.may(self._role):
            raise Refusal(403, "not_allowed", f"This is for a {self._role}, and you are a {visitor.role}: ask an admin.")
        return await self._show(request)

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return refusal.response()
        page = self._site.render(request, "refused.html", refusal.status, title="That did not work", refusal=refusal)
        page.headers.update(refusal.headers or {})
        return page


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form that a page sent, the first of each name. Raises Refusal."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refusal(415, "unsupported_media_type", "Send the form as application/x-www-form-urlencoded.")
    try:
        fields = parse_qs((await receive(request)).decode(), keep_blank_values=True, max_num_fields=FIELDS)
    except ValueError:
        raise Refusal(400, "invalid_form", "The form cannot be read.") from None
    return {name: values[0] for name, values in fields.items()}


def fragment(blocks: list[Block]) -> Markup:
    """Charts and tables, as a part of a page: `charts` escapes every text itself. A page may have several, if no two of their
    figures have one title."""
    return Markup(render_fragment(blocks, numbered=False))


def _read_files() -> dict[str, bytes]:
    folder = files("rung.gateway.pages") / "static"
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    return found | {"charts.css": (files("rung.charts") / "page.css").read_bytes()}
