# Two commands set everything up:  make demo  and  make test.  `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .oldest
TORCH := torch==2.13.0
# Files are not reordered: by their numbers of tests, those with few and long ones would come last, on one process.
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20

.PHONY: help demo test slow latin oldest lint app results clean

help:  ## List the targets.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.app  ## Install, train the FRU on real digits, show the board.
	$(BIN)/python -m bench run --model fru
	$(BIN)/python -m bench leaderboard

test: $(VENV)/.dev  ## Run the linters, the type checker and the suite without the tests marked slow, in two processes.
	$(MAKE) --no-print-directory lint
	$(PYTEST)

slow: $(VENV)/.dev  ## Run the tests marked slow, in two processes.
	$(PYTEST) -m slow

# The part of the suite that reads and writes text. A file that is opened without an encoding has the locale's.
LATIN_TESTS = $(addprefix tests/bench/,cli common contributing publishing runs submissions training tuning) tests/db \
  tests/leaderboard_app/views
LATIN := $(VENV)/locales/en_US.ISO-8859-1

latin: $(VENV)/.dev $(LATIN)  ## Run a part of the suite in a locale of 256 letters.
	LOCPATH=$(abspath $(dir $(LATIN))) LC_ALL=$(notdir $(LATIN)) PYTHONUTF8=0 PYTHONIOENCODING=latin-1 $(PYTEST) $(LATIN_TESTS)

$(LATIN):
	mkdir -p $(dir $@)
	localedef -i en_US -f ISO-8859-1 $@

# The part of the suite that calls most of other packages: command line, store, tuning, app.
OLDEST_TESTS = tests/bench/cli/test_cli.py tests/bench/cli/test_odd_folder.py tests/db tests/bench/tuning/test_storage.py \
  tests/bench/tuning/test_session.py tests/leaderboard_app/test_app.py

oldest: $(OLDEST)/.installed  ## Run a part of the suite with the oldest versions that pyproject.toml allows, but for torch.
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile $(OLDEST_TESTS)

lint: $(VENV)/.dev  ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

app: $(VENV)/.app  ## Serve the leaderboard in the browser.
	$(BIN)/python -m bench app

results: $(VENV)/.dev  ## Write the tables and the picture of README and docs again, from the published results alone.
	folder=$$(mktemp -d) && BENCH_DB=$$folder/published.sqlite $(BIN)/python -m bench results --figures; \
	  status=$$?; rm -rf $$folder; exit $$status

clean:  ## Remove the virtual environment and caches; results stay.
	rm -rf $(VENV) $(OLDEST) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# Wheels only: what has to be compiled first can't be installed everywhere.
$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet $(TORCH)
	$(OLDEST)/bin/python tests/support/oldest_versions.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --only-binary :all: --constraint $(OLDEST)/constraints.txt \
	  --editable '.[test,loggers,gpu]'
	touch $@

# A stamp for each set of extras: dependencies are installed again when pyproject.toml changes.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
