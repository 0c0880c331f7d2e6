"""`python -m rung.cli` is `rung`: the child process of `rung up` is started this way."""

from rung.cli import main

main()
