# cfx: the two commands of a fresh clone are `make demo` and `make test`; `make help` lists the rest.

# An interpreter to prefer; python3.13, 3.12, 3.11 and python3 are tried after it.
PYTHON ?=
VENV ?= .venv
# More arguments for the command that a target runs, such as ARGS="seed=1" or ARGS="-k losses".
ARGS ?=
# The studies that `make experiments` runs again: folders of experiments/ that hold a repeat.sh. All are on the phantom.
STUDIES ?= $(patsubst experiments/%/repeat.sh,%,$(wildcard experiments/*/repeat.sh))

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -q -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format criteria experiments install install-dev clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: install ## explain cardiomegaly on the phantom, from nothing to the report
	$(PY) -m cfx.train task=cardiomegaly $(ARGS)

test: install-dev ## the fast tests
	$(PY) -m pytest -m "not slow" $(ARGS)

test-slow: install-dev ## the slow tests
	$(PY) -m pytest -m slow $(ARGS)

lint: install-dev ## ruff, mypy --strict and the layers
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

format: install-dev ## let ruff put the code in order
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

criteria: install ## every study's frozen numbers against its criteria.yaml
	$(PY) experiments/criteria.py $(ARGS)

experiments: install ## run the studies of STUDIES again (all of the phantom's; a day of two cores)
	@for study in $(STUDIES); do \
	  echo "$$study"; PY="$(PY)" sh experiments/$$study/repeat.sh $(ARGS) || exit 1; \
	done

install: $(VENV)/.cfx
install-dev: $(VENV)/.cfx-dev

$(VENV)/.cfx: pyproject.toml constraints.txt | $(PY)
	@echo "installing cfx into $(VENV) (the first time this downloads torch)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.cfx-dev: pyproject.toml constraints.txt | $(PY)
	@echo "installing cfx and its checkers into $(VENV) (the first time this downloads torch)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.cfx $@

# Names alone tell nothing: a pyenv shim exists and fails, a Debian python3 comes without ensurepip. So each is run,
# and the first in range that can make the environment prints its version.
define make_venv
for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
  [ -n "$$python" ] || continue; \
  "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
    >/dev/null 2>&1 || continue; \
  "$$python" -m venv --clear "$(VENV)" >/dev/null 2>&1 || continue; \
  "$(PY)" --version && break; \
done
endef
no_python = no Python 3.11, 3.12 or 3.13 here can make a virtual environment: install one (on Debian and Ubuntu with \
  its python3-venv) and name it, as in: make PYTHON=/usr/bin/python3.12

$(PY):
	@echo "$(VENV) is made with $(or $(shell $(make_venv)),$(error $(no_python)))"

clean: ## remove caches and built packages
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find cfx experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environment too
	rm -rf "$(VENV)"
