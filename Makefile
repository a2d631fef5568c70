# make help lists the targets.
PY := .venv/bin/python
# Unit tests share the cores, a file each; what runs in real time has them to itself.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile
.DEFAULT_GOAL := help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup:           ## make .venv and build what the project needs
	@tools/setup.sh

dev:             # the same, with the test tools
	@ASTRA_DEV=1 tools/setup.sh

demo: setup      ## the whole loop: world, tour, map, mission from an unknown start (ASTRA_SEED picks start and goal)
	@.venv/bin/astra demo --out out/demo --seed $${ASTRA_SEED:-0}

lint: dev        ## ruff, mypy --strict, import layers
	$(PY) -m ruff check src test launch examples
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache

test: lint       ## lint, then every test (unit, ROS, one short mission)
	$(PY) -m pytest test/unit $(PARALLEL)
	$(PY) -m pytest test/ros test/e2e

unit: dev        ## the quick tests only
	$(PY) -m pytest test/unit $(PARALLEL) -m "not slow"

audit: setup     ## published advisories about the pinned packages (needs the network)
	@$(PY) -m venv .venv/audit && .venv/audit/bin/pip install -q -r requirements/audit.txt
	.venv/audit/bin/pip-audit --no-deps --disable-pip -r requirements.txt

evo: setup       ## cross-check an odometry table with evo, in an environment of its own (EVAL=its folder)
	@$(PY) -m venv .venv/evo && .venv/evo/bin/pip install -q -r requirements/evo.txt
	.venv/evo/bin/python tools/evo_check.py $(EVAL)

clean:           ## remove what was built; keeps .venv
	rm -rf build out .mypy_cache .ruff_cache .pytest_cache

.PHONY: help setup dev demo lint test unit audit evo clean
