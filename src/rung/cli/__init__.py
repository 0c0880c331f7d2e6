"""The verbs. Each turns a workload file into one thing, says what it did, and names the next one."""

from rung.cli.verbs import main

__all__ = ["main"]
