# Everything runs in a virtual environment of its own; nothing needs to be installed by hand but Python 3.11+.
#
#   make serve                    the service on 127.0.0.1:8000
#   make check test               what CI runs
#   make train CORPUS=DIR         pretrain, train the judges and calibrate in runs/default; started again, it goes on where it stopped
#   make evaluate BENCH=DIR       the model beside baselines without learning
#   make benchmark TABLE=FILE     start-up time, rows per second and memory of the service
#   make lock                     resolve requirements.lock anew
#   make docker                   the container image
#   make docker-check             build and run that image without a Docker engine (Debian, root)
#
# TORCH_INDEX  address of a package index with CPU builds of torch. Set it where plain `pip install torch` would
#              fetch the much larger build for GPUs; with it empty, torch comes from pip's own settings.

PYTHON      ?= $(shell command -v python3.11 || command -v python3)
VENV        ?= .venv
TORCH_INDEX ?=
CORPUS      ?=
BENCH       ?=
TABLE       ?=
RUN         ?= runs/default
STEPS       ?= 3400
TASKS       ?=
DOCKER      ?= docker
IMAGE       ?= rpt-service

PIP     := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
# The one version that must come before all others: a bare `torch` would be taken from any index.
TORCH   := $(shell sed -n 's/^ *"\(torch==[0-9.]*\)",$$/\1/p' pyproject.toml)

CREATED := $(VENV)/.created
RUNTIME := $(VENV)/.runtime
DEV     := $(VENV)/.dev

.DEFAULT_GOAL := help
.PHONY: help serve test check format train evaluate benchmark lock docker docker-check clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

# Each stamp is touched last, so an installation that was interrupted is done again.
$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(RUNTIME): pyproject.toml requirements.lock | $(CREATED)
	@echo 'Installing into $(VENV); this takes a minute or two.'
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) --constraint requirements.lock --editable .
	@touch $@

$(DEV): $(RUNTIME)
	$(PIP) --constraint requirements.lock --editable '.[dev]'
	@touch $@

serve: $(RUNTIME)
	@exec $(VENV)/bin/rpt serve

test: $(DEV)
	$(VENV)/bin/python -m pytest

check: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest --quiet tests/test_import_rules.py

format: $(DEV)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

train: given-CORPUS $(RUNTIME)
	$(VENV)/bin/rpt pretrain --corpus $(CORPUS) --run $(RUN) --output $(RUN)/checkpoint --steps $(STEPS)
	$(VENV)/bin/python -m model.finetuning.evidence --corpus $(CORPUS) --checkpoint $(RUN)/checkpoint
	$(VENV)/bin/python -m model.finetuning.calibration --corpus $(CORPUS) --checkpoint $(RUN)/checkpoint
	$(VENV)/bin/python -m model.finetuning.schema_matching --corpus $(CORPUS) --checkpoint $(RUN)/checkpoint

evaluate: given-BENCH $(RUNTIME)
	$(VENV)/bin/rpt evaluate $(TASKS) --bench $(BENCH) $(if $(CORPUS),--corpus $(CORPUS))

benchmark: given-TABLE $(RUNTIME)
	$(VENV)/bin/python scripts/benchmark.py $(TABLE)

given-%:
	@test -n '$($*)' || { echo 'say where: make $(MAKECMDGOALS) $*=PATH' >&2; exit 1; }

lock: $(CREATED)
	$(VENV)/bin/python scripts/lock.py requirements.lock

docker:
	$(DOCKER) build --file docker/Dockerfile $(if $(TORCH_INDEX),--build-arg TORCH_INDEX=$(TORCH_INDEX)) --tag $(IMAGE) .

docker-check:
	bash docker/check.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
