"""What stands on the other side of overhead.py: `instant` or `endpoint` serves the gateway, `upstream` a fake model's server.

server.py instant PORT FOLDER LEDGER        the gateway before a model that answers at once, in the process
server.py endpoint PORT FOLDER LEDGER       the gateway before the endpoint that FOLDER/endpoints.yaml names
server.py upstream PORT                     an OpenAI-compatible server that always says the same
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

REPLY = (
    b'{"id":"fake","object":"chat.completion","created":0,"model":"fake","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"{\\"label\\":\\"one\\"}"}}],'
    b'"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25}}'
)


async def upstream(port: int) -> None:
    async def complete(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=REPLY, content_type="application/json")

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def gateway(kind: str, port: int, folder: Path, ledger_url: str) -> None:
    from rung.cascade import Cascade, Tier
    from rung.cascade.checks import open_checks
    from rung.cascade.templates import open_templates
    from rung.core import Answer
    from rung.gateway import application, serve
    from rung.ledger import open_ledger
    from rung.release.live import Live
    from rung.release.opening import open_tiers
    from rung.testing import FakeModel
    from rung.workload import load

    workload = load(folder, gold=False)
    model = FakeModel(lambda case, objections: model.asked.clear() or Answer({"label": "one"}))  # what it keeps would add up
    tiers = [("specialist", model, 20.0, False)] if kind == "instant" else open_tiers(workload, {})
    cascade = Cascade(
        tuple(Tier(name, each, lambda signals: 1.0, timeout, repairs) for name, each, timeout, repairs in tiers),
        0.5,
        "benchmark",
        open_templates(workload),
        open_checks(workload),
    )
    ledger = open_ledger(ledger_url)
    await serve(application([Live(workload, cascade, ledger)], ledger, open_access=True), "127.0.0.1", port, lambda url: None)


if __name__ == "__main__":
    kind, port = sys.argv[1], int(sys.argv[2])
    uvloop.run(upstream(port) if kind == "upstream" else gateway(kind, port, Path(sys.argv[3]), sys.argv[4]))
