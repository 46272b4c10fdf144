# What a person types. `make` alone lists it.
#
# Everything is made from nothing: python3 >= 3.11, make, and what every Debian machine has.

VENV ?= .venv
MINISTACK_VENV ?= .venv-ministack
PYTHON_IN = $(VENV)/bin/python

# TIER=quick: the unmarked tests. TIER=full: those marked `full`. Nothing: all of them. Several files at once, because
# most tests wait for a process; -n 0 in PYTEST_ARGS runs one after the other.
TIER ?= all
TIER_quick = -m "not full" -n 4 --dist loadfile
TIER_full = -m full -n 2 --dist loadfile
TIER_all = -n 2 --dist loadfile
PYTEST_ARGS ?=

# ONCE=1 sends, checks and exits. DEMO=aws runs on the local AWS. A busy port is moved with PORT=, DASHBOARD_PORT= or
# AWS_PORT= (on the command line only: PORT in the environment is often another program's).
PORT =
DASHBOARD_PORT =
AWS_PORT =
DEMO_ARGS = $(if $(ONCE),--once) $(if $(filter aws,$(DEMO)),--aws $(MINISTACK_VENV)/bin/python) \
	$(if $(PORT),--port $(PORT)) $(if $(DASHBOARD_PORT),--dashboard-port $(DASHBOARD_PORT)) \
	$(if $(AWS_PORT),--aws-port $(AWS_PORT))

COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help demo test check format coverage lock tools clean env env-dev env-ministack
.NOTPARALLEL:

help: ## this list
	@echo 'usage: make TARGET [NAME=VALUE]'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

demo: env $(if $(filter aws,$(DEMO)),env-ministack) ## the whole way on this machine, until Ctrl-C; ONCE=1 checks and exits; DEMO=aws uses the local AWS
	@$(if $(filter-out aws,$(DEMO)),echo "no such DEMO: $(DEMO) (aws, or nothing)" >&2; exit 2)
	@SECONDS_AT_MOST=60 deploy/tools.sh storescu sqlite3 || true
	@$(PYTHON_IN) -m edge demo $(DEMO_ARGS)

test: env-dev env-ministack tools ## all tests; TIER=quick (under 5 minutes) or TIER=full (the rest, under 30)
	@$(if $(filter undefined,$(origin TIER_$(TIER))),echo "no such TIER: $(TIER) (quick, full or all)" >&2; exit 2)
	@MINISTACK_PYTHON=$(abspath $(MINISTACK_VENV))/bin/python $(PYTHON_IN) -m pytest $(TIER_$(TIER)) $(PYTEST_ARGS)

check: env-dev ## lint, format, types, import order, coverage page, a wheel that works without this folder
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(PYTHON_IN) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON_IN) tests/coverage_lines.py --check
	$(PYTHON_IN) tests/smoke_wheel.py

format: env-dev ## lay out the code as `make check` wants it
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

coverage: env-dev ## write tests/COVERAGE.md again
	$(PYTHON_IN) tests/coverage_lines.py

lock: env-dev ## write the lock files again from pyproject.toml; UPGRADE=1 takes newer versions
	$(COMPILE) pyproject.toml --extra edge --extra cloud --group build --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra edge --extra cloud --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock
	$(COMPILE) --group ministack --output-file requirements-ministack.lock

tools: ## Debian tools that the tests use, where apt may install them
	@deploy/tools.sh

clean: ## remove what was made here: environments, builds, caches, and the demo's data
	rm -rf $(VENV) $(MINISTACK_VENV) build dist *.egg-info .demo .demo-aws .work .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@deploy/environment.sh $(VENV) requirements.lock

env-dev:
	@deploy/environment.sh $(VENV) requirements-dev.lock requirements.lock

env-ministack:
	@PROJECT=no deploy/environment.sh $(MINISTACK_VENV) requirements-ministack.lock
