"""Turns code into the parts of the documentation that must agree with it. `python docs/make.py` rewrites them in place.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`. `tests/test_docs.py` makes every part again and compares.
In docs/http.md every request is sent to a server that really runs, and the response below it is what came back.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/workload.md", "docs/cli.md", "docs/http.md")
WIDTH = 100  # columns of help texts

_PART = re.compile(r"(<!-- made: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_EXCHANGE = re.compile(r"(```http\n(?P<request>[A-Z]+ /.*?)```\n\n```http\n)HTTP/1\.1.*?(```)", re.DOTALL)
_SHOWN = ("allow", "retry-after", "www-authenticate")  # of the headers that are not Rung's own

# What stands in the tree besides the modules, which speak for themselves.
FILES = {
    "Makefile": "`make demo`, `make test`, and the gates.",
    "pyproject.toml": "What is installed, and the settings of every gate.",
    ".ci/run": "Everything that must hold before a change is taken.",
    "benchmarks/": "Quality and speed, measured against others; one command each.",
    "dashboards/grafana.json": "A Grafana dashboard of every metric, to import.",
    "docs/workload.md": "Every key of the workload file and of `endpoints.yaml`.",
    "docs/cli.md": "Every verb.",
    "docs/http.md": "Every route, with requests and responses.",
    "docs/operating.md": "Metrics, the dashboard, traces and alarms.",
    "docs/recipes.md": "How a specialist is trained, by which recipe, and how small it may be.",
    "docs/releases.md": "What a release holds, what its gate asks, how to promote, compare, try and roll back.",
    "docs/memo.md": "How to read a selection memo, in two minutes or in ten.",
    "docs/memos/": "The memos of the examples' bake-offs, made by `make memos`.",
    "docs/promise.md": "How the promise is kept, and what it does not say.",
    "docs/pages.md": "The pages for people, in pictures: what each answers, its keys, who may do what.",
    "docs/watching.md": "How cases are drawn for people, the live promise, drift, and what the money assumes.",
    "docs/images/": "Pictures of the pages, made by `make shots`.",
    "docs/make.py": "Turns code into the parts of the documentation that must agree with it.",
    "docs/shots.py": "Turns examples/support into a gateway with a month behind it, and its pages into pictures.",
    "examples/support/": "A complete workload: customer messages of an invented shop.",
    "examples/invoices/": "Invoices, receipts and orders as OCR text, every copied field learnt from gold.",
    "tests/": "What is promised here, as tests; each file's name says of what.",
}


def page(name: str) -> str:
    """The page as it should be: its own text, with every made part made again."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = _PART.sub(lambda part: f"{part[1]}{_made(part[2])}\n{part[3]}", text)
    return exchanged(text) if name == "docs/http.md" else text


def _made(name: str) -> str:
    makers = {"workload": workload_keys, "endpoints": endpoint_keys, "verbs": verbs, "tree": tree}
    return makers[name]()


# The keys of the two files, from their schemas.


def workload_keys() -> str:
    """A table of every key of the workload file."""
    return _table("workload.schema.json")


def endpoint_keys() -> str:
    """A table of every key of `endpoints.yaml`."""
    return _table("endpoints.schema.json")


def _table(name: str) -> str:
    schema = json.loads((ROOT / "src/rung/workload" / name).read_text(encoding="utf-8"))
    rows = [f"| `{path}` | {need} | {_cell(text)} |" for path, need, text in _keys(schema, schema, "")]
    return "\n".join(["| key | | what it says |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _keys(node: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    """Every key below a place: its path, whether it must be there, and its description."""
    node = _followed(node, root)
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        if "description" in child:
            yield here, "required" if name in node.get("required", ()) else "", child["description"]
        yield from _keys(child, root, here)
    others = node.get("additionalProperties")
    if isinstance(others, dict):
        yield from _keys(others, root, f"{path}.NAME" if path else "NAME")
    for step in ("items", "then", "else"):
        if step in node:
            yield from _keys(node[step], root, f"{path}[]" if step == "items" else path)


def _followed(node: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference stands for; nothing where that is a key of its own, which has its place in the table."""
    kind, _, name = node.get("$ref", "").removeprefix("#/").partition("/")
    return root[kind][name] if kind == "$defs" else {} if kind else node


# The verbs, from their help texts.


def verbs() -> str:
    """Every verb's help text, as a terminal shows it."""
    from rung.cli.verbs import app

    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    parts = [_help([]), *(_help([name]) for name in names)]
    for group in app.registered_groups:
        inside = group.typer_instance.registered_commands if group.typer_instance else []
        named = [each.name or each.callback.__name__ for each in inside if each.callback]
        parts += [_help([str(group.name)]), *(_help([str(group.name), name]) for name in named)]
    return "\n".join(parts)


def _help(words: list[str]) -> str:
    from rung.cli.verbs import app

    environment = {"COLUMNS": str(WIDTH), "TERM": "dumb", "NO_COLOR": "1", "FORCE_COLOR": None, "GITHUB_ACTIONS": None}
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="rung", env=environment)
    lines = [line.rstrip() for line in result.output.strip().splitlines()]
    return f"### `{' '.join(['rung', *words])}`\n\n```text\n" + "\n".join(lines).strip() + "\n```\n"


# The file tree, from the modules' first sentences.


def tree() -> str:
    """Every module with the first sentence of its docstring, and what stands beside them."""
    rows = [*_branch(ROOT / "src/rung", "src/rung/", 0), *((name, text) for name, text in FILES.items())]
    wide = max(len(name) for name, _ in rows)
    return "\n".join(["```text", *(f"{name.ljust(wide)}  {text}".rstrip() for name, text in rows), "```"])


def _branch(folder: Path, name: str, deep: int) -> Iterator[tuple[str, str]]:
    """A folder, which says of itself what its `__init__.py` says, then its modules, then its folders."""
    package = folder / "__init__.py"
    yield "  " * deep + name, first_sentence(package) if package.exists() else ""
    for module in sorted(folder.glob("*.py")):
        if module != package:
            yield "  " * (deep + 1) + module.name, first_sentence(module)
    for inside in sorted(path for path in folder.iterdir() if path.is_dir() and any(path.rglob("*.py"))):
        yield from _branch(inside, f"{inside.name}/", deep + 1)


def first_sentence(module: Path) -> str:
    """What a module says of itself in one sentence."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s", " ".join(text.split()), maxsplit=1)[0]


# Requests and what came back.


def exchanged(text: str) -> str:
    """The page with every request sent again, in order, and its response written below it. `{id}` is the last decision's."""
    sys.path.insert(0, str(ROOT / "tests"))
    from gateway_stage import staged

    last = ""
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        staged(Path(one)) as stage,
        staged(Path(other), open_access=False) as closed,
    ):

        def answer(exchange: re.Match[str]) -> str:
            nonlocal last
            request = exchange["request"].replace("{id}", last)
            asked = closed if "authorization:" in request else stage
            response, last = _sent(asked.url, request, last)
            return f"{exchange[1]}{response}{exchange[3]}"

        return _EXCHANGE.sub(answer, text)


def _sent(url: str, request: str, last: str) -> tuple[str, str]:
    head, _, body = request.partition("\n\n")
    line, *headers = head.strip().split("\n")
    method, path = line.split(" ", 1)
    given = {"content-type": "application/json"} | dict(header.split(": ", 1) for header in headers)
    asked = urllib.request.Request(url + path, body.strip().encode() or None, given, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return _written(reply.status, reply.headers, reply.read()), reply.headers.get("x-rung-decision-id", last)
    except urllib.error.HTTPError as refusal:
        return _written(refusal.code, refusal.headers, refusal.read()), last


def _written(status: int, headers: Any, body: bytes) -> str:
    shown = [f"{name}: {value}" for name, value in headers.items() if name.startswith("x-rung-") or name in _SHOWN]
    kind = headers.get("content-type", "")
    text = body.decode()
    if kind.startswith("application/json"):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return "\n".join([f"HTTP/1.1 {status}", *shown, "", text.strip(), ""])


def main() -> None:
    """Rewrite every page whose made parts differ."""
    for name in PAGES:
        (ROOT / name).write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
