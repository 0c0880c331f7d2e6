"""Turns what is recorded into pages for people, rendered here: no page asks another host for anything.

Knows nothing about how decisions are made, and changes nothing that the other interfaces could not.
"""

from starlette.routing import Route

from rung.gateway.pages import alarms, decisions, door, money, overview, people, playground, releases, report, review, workload
from rung.gateway.pages.site import PageRoute, Site
from rung.gateway.pages.visitors import Visitor, Visitors, hash_password

__all__ = ["PageRoute", "Site", "Visitor", "Visitors", "hash_password", "routes"]

PAGES = (door, overview, money, report, people, releases, review, decisions, playground, workload, alarms)


def routes(site: Site) -> list[Route]:
    """Every page there is."""
    return [route for page in PAGES for route in page.routes(site)]
