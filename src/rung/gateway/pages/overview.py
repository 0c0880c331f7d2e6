"""The first page: what was decided and by whom, what it cost, how sure one can be of it, and what needs somebody."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.gateway.pages.site import Site


def routes(site: Site) -> list[Route]:
    """The overview."""

    async def show(request: Request) -> Response:
        site.live(request)
        return site.render(request, "overview.html", title="Overview", tab="overview")

    return [site.page("/w/{workload}/overview", show)]
