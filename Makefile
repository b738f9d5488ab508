# Needs python3 (3.11 or newer) and make; everything else goes into .venv.
#   make PYTHON=python3.12 test     another interpreter for .venv
#   make bench DATA=path/to/kodak   rate and distortion on a folder of pictures, too

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
DEMO_STAMP := $(VENV)/installed-demo
DEV_STAMP := $(VENV)/installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench format clean

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_STAMP) ## Compress a photograph, compare with JPEG, WebP and AVIF at equal size
	$(BIN)/python -m trimix.evaluation.demo $(DEMO)

test: $(DEV_STAMP) ## Run the tests
	$(BIN)/python -m pytest $(TESTS)

check: $(DEV_STAMP) ## Formatting, lint, types, import rules, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(MAKE) test

bench: $(DEV_STAMP) ## Measure speed; with DATA=folder rate and distortion, too
	$(BIN)/python benchmarks/range_coder.py
	$(BIN)/python benchmarks/speed.py
	$(if $(DATA),$(BIN)/python benchmarks/rate_distortion.py --data $(DATA))

format: $(DEV_STAMP) ## Format the code and mend what lint can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## Remove caches, builds and the demo's output (the environment and runs stay)
	rm -rf build dist demo-output .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "trimix needs Python 3.11 or newer, found $$($(PYTHON) --version 2>&1); make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(INSTALL) '.[demo]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(INSTALL) '.[dev]'
	@touch $(DEMO_STAMP) $@
