"""Turns a workload's answer schema and its check functions into one callable that says what is wrong with an answer.

It knows nothing about models, confidence or thresholds: an objection is words, never a number.

Cost of an answer with five fields: 7 us, of them 1.4 us for the schema and 3 us for copying; 2 us more for each user function.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from math import isfinite
from pathlib import Path
from time import perf_counter, time_ns
from types import ModuleType
from typing import Any, cast

import jsonschema_rs

from rung.core import Case, Fields, Problem, RungError
from rung.workload import Workload

DEEPEST = 64  # levels of an answer; validating some ten thousand under a recursive schema ends the process
MOST_VIOLATIONS = 20  # of the schema; a long list of wrong items needs no objection to each

PREFIX = "_rung_checks_"  # of the names under which check files are imported

Check = Callable[[Case, Fields], object]


class CheckError(RungError):
    """The answer's schema or a check file cannot be used."""

    code = "check_invalid"


@dataclass(frozen=True, slots=True)
class Run:
    """One check of one answer: when it began (Unix nanoseconds), how long it took (seconds), and whether it objected."""

    check: str
    answer: Fields
    began: int
    seconds: float
    objected: bool


_watched: ContextVar[list[Run] | None] = ContextVar("watched", default=None)


def watch_checks() -> Sequence[Run]:
    """What the checks of this task do from now on, as they do it."""
    runs: list[Run] = []
    _watched.set(runs)
    return runs


@dataclass(frozen=True, slots=True)
class Checks:
    """The JSON Schema of the answer, then the user's functions, by the names that the workload gives them."""

    schema: jsonschema_rs.Validator
    functions: Mapping[str, Check]

    def __call__(self, case: Case, fields: Fields) -> tuple[Problem, ...]:
        """Everything there is against this answer; nothing means that it may be accepted. A check that fails objects."""
        runs = _watched.get()
        since = _now() if runs is not None else (0, 0.0)
        try:
            answer = _plain(fields)
            problems = [
                Problem("schema", f"{'.'.join(map(str, violation.instance_path)) or 'answer'}: {violation.message}")
                for violation in islice(self.schema.iter_errors(answer), MOST_VIOLATIONS)
            ]
        except ValueError as error:
            answer, problems = None, [Problem("schema", f"answer: is not JSON: {error}")]
        if runs is not None:
            since = _note(runs, "schema", fields, since, bool(problems))
        for name, check in self.functions.items() if answer is not None else ():
            objection = _objection(check, case, _plain(answer))
            if objection is not None:
                problems.append(Problem(name, objection))
            if runs is not None:
                since = _note(runs, name, fields, since, objection is not None)
        return tuple(problems)


def _now() -> tuple[int, float]:
    return time_ns(), perf_counter()


def _note(runs: list[Run], check: str, answer: Fields, since: tuple[int, float], objected: bool) -> tuple[int, float]:
    runs.append(Run(check, answer, since[0], perf_counter() - since[1], objected))
    return _now()


def open_checks(workload: Workload) -> Checks:
    """Compile the schema and import the check files. Raises `CheckError`.

    A check file stands alone: it may import what is installed, but no file beside it.
    """
    modules = {name: _module(workload.folder / name, content) for name, content in sources(workload).items()}
    functions = {check: _function(modules[_file(check)], check) for check in workload.checks}
    return Checks(_validator(workload), functions)


def sources(workload: Workload) -> dict[str, bytes]:
    """The content of every check file by its name in the workload: what a release's hash has to cover. Raises `CheckError`."""
    contents: dict[str, bytes] = {}
    for name in map(_file, workload.checks):
        try:
            contents[name] = (workload.folder / name).read_bytes()
        except OSError as error:
            advice = "Correct the workload's `checks` or put the file there."
            raise CheckError(f"{workload.folder / name}: cannot be read: {error.strerror}. {advice}") from error
    return contents


def _validator(workload: Workload) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(
            dict(workload.schema),
            validate_formats=True,
            ignore_unknown_formats=False,  # a misspelt format would check nothing, silently
            pattern_options=jsonschema_rs.RegexOptions(),  # linear in time
            offline=True,
            mask="the value",  # it stands in the answer already, and an objection may travel further than the answer
        )
    except jsonschema_rs.ValidationError as error:
        path, what = ".".join(["answer", *map(str, error.instance_path)]), error.message
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        path, what = "answer", str(error)
    advice = "A $ref must point into the schema itself, a pattern must do without look-around and back-references."
    raise CheckError(f"{workload.folder}, workload {workload.name}: {path}: {what}. {advice} Correct it and run `rung check`.")


def _file(check: str) -> str:
    return check.partition(":")[0]


def _module(file: Path, content: bytes) -> ModuleType:
    try:
        return cast(ModuleType, _run(_load, file, content))
    except _Raised as raised:
        raise CheckError(f"{file}{raised.place}: cannot be imported: {raised}. Correct it and run `rung check`.") from raised


def _load(file: Path, content: bytes) -> ModuleType:
    """Import the very bytes that were read and hashed; importlib alone might run an older version out of `__pycache__`."""
    name = PREFIX + sha256(content).hexdigest()[:16]
    spec = spec_from_file_location(name, file)
    assert spec is not None  # its name ends in .py
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their own module up there
    exec(compile(content, file, "exec", dont_inherit=True), vars(module))
    return module


def _function(module: ModuleType, check: str) -> Check:
    name = check.partition(":")[2]
    function = getattr(module, name, None)
    if callable(function):
        return function
    has = ", ".join(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
    advice = "Correct the workload's `checks` and run `rung check`."
    raise CheckError(f"{module.__file__}: there is no function {name} in it; it has {has or 'none'}. {advice}")


def _objection(check: Check, case: Case, answer: Fields) -> str | None:
    try:
        said = _run(check, case, answer)
    except _Raised as raised:
        return f"the check itself failed{raised.place}: {raised}"
    if said is None or isinstance(said, str):
        return said
    return f"the check returned {type(said).__name__}, which is neither words nor None"


class _Raised(Exception):
    """What the user's code raised, in words; `place` is the last line of the user's own file that it went through."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(traceback.format_exception_only(error)[-1].strip())  # survives a broken __str__ too
        passed = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in passed if str(frame.f_globals.get("__name__")).startswith(PREFIX)]
        line = lines[-1] if lines else error.lineno if isinstance(error, SyntaxError) else None
        self.place = "" if line is None else f", line {line}"


def _run(code: Callable[..., object], *arguments: object) -> object:
    """Run code of the user's."""
    try:
        return code(*arguments)
    except (Exception, SystemExit) as error:  # foreign code raises what it likes, and may not end the process
        raise _Raised(error) from error


def _plain(value: Any, levels: int = DEEPEST) -> Any:
    """A copy in plain JSON values. Raises ValueError where JSON has no such value or it is nested too deep."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | None) or (isinstance(value, float) and isfinite(value)):
        return value
    if not levels:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    if isinstance(value, list | tuple):
        return [_plain(item, levels - 1) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {_text(name): _plain(item, levels - 1) for name, item in cast("Mapping[Any, Any]", value).items()}
    raise ValueError(f"it holds a {type(value).__name__} that JSON does not have")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it has the name {value!r}, which is not text")
    value.encode()  # half a surrogate pair is no Unicode: a UnicodeEncodeError is a ValueError
    return value
