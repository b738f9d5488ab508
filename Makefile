# Needs python3 (3.11 or newer) and make; everything else goes into .venv.
#   make PYTHON=python3.12 test     another interpreter for .venv
#   make results TRIMIX_DATA=data   the folder that holds kodak/, its 24 pictures, and ood/, if it is there

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
DEMO_STAMP := $(VENV)/installed-demo
EVALUATE_STAMP := $(VENV)/installed-evaluate
DEV_STAMP := $(VENV)/installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo results test quick check fuzz bench train-on web test-web format clean

MINUTES := 60
RECIPE := configs/gllmm.toml
THREADS := 1

# Six rates from 0.1 to 2 bits per pixel, the default among them, and photographs that differ: faces, fine texture, smooth skies, edges.
RESULTS_QUALITIES := 10,30,50,70,75,90
# Pictures that are no photographs, where the folder ood/ is there, too.
RESULTS_QUALITIES_OUT_OF_DOMAIN := 18,32,46,60,71,82
RESULTS_OUT_OF_DOMAIN = $(notdir $(wildcard $(foreach set,game pathology pixel screen,$(TRIMIX_DATA)/ood/$(set))))
RESULTS_PICTURES := $(foreach number,04 08 13 19 21 23,--picture $(TRIMIX_DATA)/kodak/kodim$(number).png)

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_STAMP) ## Compress a photograph, compare with JPEG, WebP and AVIF at equal size
	$(BIN)/python tools/demo.py $(DEMO)

results: export TRIMIX_DATA := $(TRIMIX_DATA)
results: $(EVALUATE_STAMP) ## Measure beside JPEG, WebP, AVIF and JPEG XL, on Kodak and out of domain: results/, pages in runs/
	@test -d "$(TRIMIX_DATA)" || { echo "make results TRIMIX_DATA=FOLDER: FOLDER must hold the folder kodak/"; exit 1; }
	$(call measure,kodak,kodak,--model gllmm-lite-eye --model gllmm-lite --model gllmm-lite-ms-ssim --quality $(RESULTS_QUALITIES))
	$(BIN)/trimix report results/kodak --output runs/kodak.html --markdown results/kodak.md --figures runs/kodak --force $(RESULTS_PICTURES)
	cp runs/kodak/rate-distortion-psnr-rgb.svg results/kodak.svg
	cp runs/kodak/rate-distortion-ssimulacra2.svg results/kodak-ssimulacra2.svg
	$(foreach set,$(RESULTS_OUT_OF_DOMAIN),$(call out_of_domain,$(set)))

# measure(DATA, folder of results/, models and qualities)
define measure
	$(BIN)/trimix evaluate $1 $3 --peers default --peer avif-444 --output runs/results/$2
	rm -rf results/$2 && mkdir -p results && mv runs/results/$2 results/$2

endef

define out_of_domain
	$(call measure,ood/$1,$1,--model gllmm-lite-eye --model gllmm-lite --model gllmm-lite-ms-ssim --quality $(RESULTS_QUALITIES_OUT_OF_DOMAIN))
	$(BIN)/trimix report results/$1 --output runs/$1.html --markdown results/$1.md --figures runs/$1 --force --picture $(firstword $(wildcard $(TRIMIX_DATA)/ood/$1/*))
	cp runs/$1/rate-distortion-psnr-rgb.svg results/$1.svg

endef

test: $(DEV_STAMP) ## Run the tests
	$(BIN)/python -m pytest -n auto --dist loadgroup $(TESTS)

quick: $(DEV_STAMP) ## Run the tests that take less than 5 seconds each
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not slow' $(TESTS)

check: $(DEV_STAMP) ## Formatting, lint, types, import rules, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(MAKE) test

fuzz: $(DEV_STAMP) ## Look for bytes that no reader expects: MINUTES=60; guided by coverage where atheris is installed
	$(BIN)/python tests/fuzzing/fuzz.py --minutes $(MINUTES)

web: $(DEMO_STAMP) web/node_modules/.package-lock.json ## The decoder for browsers: web/dist, a folder that any server can send; needs Node 20
	cd web && node build.mjs && npx tsc
	$(BIN)/trimix export gllmm-lite-eye -o web/dist/models --force
	$(BIN)/python tools/make_web_example.py web/dist/example

test-web: $(DEV_STAMP) web ## Its tests: in Node, and in Chromium, which CHROMIUM names; with photographs of TRIMIX_DATA=folder
	$(BIN)/python tools/make_web_vectors.py web/build/files --model gllmm-lite-eye $(if $(TRIMIX_DATA),--pictures "$(TRIMIX_DATA)/kodak")
	cd web && node build.mjs --tests && node --test build/test/*.test.mjs

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci
	@touch $@

bench: $(DEV_STAMP) ## Measure the speed of coder and codec
	$(BIN)/python benchmarks/range_coder.py
	$(BIN)/python benchmarks/speed.py

train-on: $(DEV_STAMP) ## Train the long run further: TRIMIX_DATA=folder MINUTES=60 RECIPE=configs/gllmm.toml THREADS=1
	@test -d "$(TRIMIX_DATA)/train" || { echo "make train-on TRIMIX_DATA=FOLDER: FOLDER must hold train/ with its tars"; exit 1; }
	$(BIN)/python tools/train_on.py $(RECIPE) --minutes $(MINUTES) --threads $(THREADS) --validation $(TRIMIX_DATA)/train/validation.tar \
		--data $(filter-out %/validation.tar,$(wildcard $(TRIMIX_DATA)/train/*.tar))

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

$(EVALUATE_STAMP): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(INSTALL) '.[evaluate]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	$(INSTALL) '.[dev]'
	@touch $(DEMO_STAMP) $(EVALUATE_STAMP) $@
