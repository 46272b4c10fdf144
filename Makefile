# What a person types. `make` alone lists it.
#
# Everything is made from nothing: python3 >= 3.11, make, and what every Debian machine has.

VENV ?= .venv
MINISTACK_VENV ?= .venv-ministack
SSLYZE_VENV ?= .venv-sslyze
CDK_VENV ?= .venv-cdk
PYTHON_IN = $(VENV)/bin/python

# TIER=quick: the unmarked tests. TIER=full: those marked `full`. Nothing: all of them. Several files at once, because
# most tests wait for a process; -n 0 in PYTEST_ARGS runs one after the other.
TIER ?= all
TIER_quick = -m "not full" -n 4 --dist loadfile
TIER_full = -m full -n 3 --dist loadfile
TIER_all = -n 3 --dist loadfile
PYTEST_ARGS ?=

# QUICK=1: some minutes, rough. CELLS='ct-* mr-8-* memory' and PEERS='ours tuned' choose.
BENCH_ARGS = $(if $(QUICK),--quick) $(if $(CELLS),--cells '$(CELLS)') $(if $(PEERS),--peers '$(PEERS)')

# ONCE=1 sends, checks and exits. DEMO=aws runs on the local AWS. A busy port is moved with PORT=, DASHBOARD_PORT= or
# AWS_PORT= (on the command line only: PORT in the environment is often another program's).
PORT =
DASHBOARD_PORT =
AWS_PORT =
DEMO_ARGS = $(if $(ONCE),--once) $(if $(filter aws,$(DEMO)),--aws $(MINISTACK_VENV)/bin/python) \
	$(if $(PORT),--port $(PORT)) $(if $(DASHBOARD_PORT),--dashboard-port $(DASHBOARD_PORT)) \
	$(if $(AWS_PORT),--aws-port $(AWS_PORT))

# What is synthesised, and the functions' zips in it.
TEMPLATES = build/cdk.out
ASSETS = build/functions

CDK = PATH="$(abspath $(CDK_VENV))/bin:$$PATH" deploy/node_modules/.bin/cdk --app $(TEMPLATES)

COMPILE = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url $(if $(UPGRADE),--upgrade)

# Modules are compiled once, not at each of the thousands of starts of a test run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: pipelines templates unkept pipeline-coverage help demo test check format bench coverage lock tools clean env env-dev env-ministack env-sslyze env-cdk assets synth deploy destroy cdk
.NOTPARALLEL:

help: ## this list
	@echo 'usage: make TARGET [NAME=VALUE]'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

demo: env $(if $(filter aws,$(DEMO)),env-ministack) ## the whole way on this machine, until Ctrl-C; ONCE=1 checks and exits; DEMO=aws uses the local AWS
	@$(if $(filter-out aws,$(DEMO)),echo "no such DEMO: $(DEMO) (aws, or nothing)" >&2; exit 2)
	@SECONDS_AT_MOST=60 deploy/tools.sh storescu sqlite3 || true
	@$(PYTHON_IN) -m edge demo $(DEMO_ARGS)

test: env-dev env-ministack env-sslyze env-cdk cdk tools ## all tests; TIER=quick (some minutes) or TIER=full (the rest, most of an hour)
	@$(if $(filter undefined,$(origin TIER_$(TIER))),echo "no such TIER: $(TIER) (quick, full or all)" >&2; exit 2)
	@MINISTACK_PYTHON=$(abspath $(MINISTACK_VENV))/bin/python SSLYZE_PYTHON=$(abspath $(SSLYZE_VENV))/bin/python \
		CDK_PYTHON=$(abspath $(CDK_VENV))/bin/python \
		$(PYTHON_IN) -m pytest $(TIER_$(TIER)) $(PYTEST_ARGS)

check: env-dev env-cdk ## lint, format, types, import order, coverage page, a wheel that works without this folder
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(PYTHON_IN) -m mypy
	$(PYTHON_IN) -m mypy --python-executable $(CDK_VENV)/bin/python --package deploy
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON_IN) tests/coverage_lines.py --check
	$(PYTHON_IN) tests/smoke_wheel.py

format: env-dev ## lay out the code as `make check` wants it
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

# The functions are called one by one, process_dicom runs as the process that it is; half a minute.
COVERED = tests/pipeline/test_functions.py tests/pipeline/test_process.py tests/pipeline/test_process_errors.py \
	tests/pipeline/test_process_s3.py tests/pipeline/test_archives.py tests/pipeline/test_copying.py

pipeline-coverage: env-dev env-ministack ## the image pipeline's functions and process: unit tests, their coverage, and its floor
	@rm -f .coverage .coverage.*
	@MINISTACK_PYTHON=$(abspath $(MINISTACK_VENV))/bin/python $(PYTHON_IN) -m coverage run -m pytest -q -n 0 \
		-m "not full" $(COVERED)
	@$(PYTHON_IN) -m coverage combine -q
	@$(PYTHON_IN) -m coverage report

bench: env-dev ## speed beside other receivers, on a quiet machine; QUICK=1 (some minutes), CELLS=, PEERS=
	@deploy/tools.sh storescu Orthanc
	@$(PYTHON_IN) -m tests.bench $(BENCH_ARGS)

coverage: env-dev ## write tests/COVERAGE.md again
	$(PYTHON_IN) tests/coverage_lines.py

assets: env ## build the functions' zips into build/functions, for AWS's Linux and the Python of this environment
	@mkdir -p $(ASSETS)
	@for name in api dashboard import ingest operate; do $(PYTHON_IN) deploy/function_asset.py --function $$name $(ASSETS)/$$name.zip || exit; done

# The templates of each image pipeline that has a config in deploy/ (the example has made-up names).
pipelines: env
	@rm -rf build/pipelines
	@for file in $(filter-out deploy/example-%,$(wildcard deploy/*.config)); do \
		$(VENV)/bin/dicom-cloud pipeline templates $$file build/pipelines/$$(basename $$file .config) || exit; done

# Written, and checked by cdk-nag as they are.
templates: env-cdk assets pipelines
	PATH="$(abspath $(CDK_VENV))/bin:$$PATH" $(CDK_VENV)/bin/python -m deploy.app --assets $(ASSETS) --out $(TEMPLATES)

synth: templates ## write the cloud's templates into build/cdk.out and check them; DEPLOY_CONFIG=FILE has the parameters
	$(CDK_VENV)/bin/cfn-lint --ignore-checks W3005 -- $(TEMPLATES)/*.template.json

# Stacks that `dicom-cloud pipeline setup` keeps are not taken over.
unkept: env
	@for file in $(filter-out deploy/example-%,$(wildcard deploy/*.config)); do \
		$(VENV)/bin/dicom-cloud pipeline stacks --for-app $$file || exit; done

# What is deployed of a pipeline becomes a release, to which one can go back (P168).
deploy: synth cdk unkept ## deploy the stacks to AWS (your profile); STACKS='dicom-edge-edge-lab1' names some, else all
	$(CDK) deploy $(if $(STACKS),$(STACKS),--all) $(if $(CI),--require-approval never)
	@for file in $(filter-out deploy/example-%,$(wildcard deploy/*.config)); do \
		$(VENV)/bin/dicom-cloud pipeline release --if-deployed --pipeline $$file --note '$(RELEASE_NOTE)' || exit; done

destroy: templates cdk ## delete the stacks; bucket, key, logs and a last snapshot stay (see deploy/README.md)
	$(CDK) destroy $(if $(STACKS),$(STACKS),--all)

lock: env-dev ## write the lock files again from pyproject.toml; UPGRADE=1 takes newer versions
	$(COMPILE) pyproject.toml --extra edge --extra cloud --extra imaging --group build \
		--output-file requirements.lock
	$(COMPILE) pyproject.toml --extra edge --constraint requirements.lock --output-file requirements-edge.lock
	$(COMPILE) pyproject.toml --extra edge --extra cloud --extra imaging --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock
	$(COMPILE) --group ministack --output-file requirements-ministack.lock
	$(COMPILE) --group sslyze --output-file requirements-sslyze.lock
	$(COMPILE) --group cdk --output-file requirements-cdk.lock

tools: ## Debian tools that the tests use, where apt may install them
	@deploy/tools.sh

clean: ## remove what was made here: environments, builds, caches, and the demo's data
	rm -rf $(VENV) $(MINISTACK_VENV) $(SSLYZE_VENV) $(CDK_VENV) deploy/node_modules build dist *.egg-info .demo .demo-aws .demo-pipeline .work .mypy_cache \
		.ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env:
	@deploy/environment.sh $(VENV) requirements.lock

env-dev:
	@deploy/environment.sh $(VENV) requirements-dev.lock requirements.lock

env-ministack:
	@PROJECT=no deploy/environment.sh $(MINISTACK_VENV) requirements-ministack.lock

env-sslyze:
	@PROJECT=no deploy/environment.sh $(SSLYZE_VENV) requirements-sslyze.lock

# The cdk command is a program of Node's, which comes with the environment; only deployments and their tests want it.
cdk: env-cdk
	@test deploy/node_modules/.package-lock.json -nt deploy/package-lock.json || \
		PATH="$(abspath $(CDK_VENV))/bin:$$PATH" npm ci --prefix deploy --no-audit --no-fund --loglevel error

env-cdk:
	@PROJECT=no deploy/environment.sh $(CDK_VENV) requirements-cdk.lock
