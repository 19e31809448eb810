# Two commands for a newcomer: `make demo` and `make test`. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More arguments for pip, for example --extra-index-url with PyTorch's CPU wheels (see the README).
PIP_ARGS ?=
PIP_INSTALL = $(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt
HOST ?= 127.0.0.1
PORT ?= 8000

DEMO_TASKS := qa classify ner
DEMO_FOLDER := bundles
DEMO_BUNDLES := $(foreach task,$(DEMO_TASKS),$(DEMO_FOLDER)/demo-$(task)/manifest.json)
INT8_BUNDLES := $(foreach task,$(DEMO_TASKS),bundles-int8/demo-$(task)/manifest.json)

# A sentence encoder that is downloaded, and the adapters for it that are in examples/adapters.
REAL_ENCODER := real-models/real-embed
REAL_MODELS := real-embed $(notdir $(wildcard examples/adapters/real-*))
REAL_FOLDER := bundles-real
REAL_BUNDLES := $(REAL_MODELS:%=$(REAL_FOLDER)/%/manifest.json) $(REAL_FOLDER)/demo-qa/manifest.json
# Each is compared with torch; fewer of them export in less time.
REAL_BUCKETS := 64,128,256,384,512,704,1024,1536,2048,3072,4096
# Trained in windows of 512 tokens, and better in those.
$(REAL_FOLDER)/real-ner/manifest.json: REAL_BUCKETS := 64,128,256,384,512
REAL_EXPORT = TERM=dumb OMP_NUM_THREADS=1 $(BIN)/bigbird export --buckets $(REAL_BUCKETS) --overwrite

BENCHMARKS := models serving http memory host_work dialects

.DEFAULT_GOAL := help

.PHONY: help install demo demo-real demo-synthetic demo-bundles demo-real-bundles test test-integration test-slow soak lint types check audit bench bench-quick bench-accuracy clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

install: $(VENV)/.installed-dev ## Make .venv with everything: service, export, tests, linters

# Real models and the synthetic one for questions; where the encoder cannot be had, the synthetic models alone.
demo: $(VENV)/.installed-demo ## Make the demo's models and serve them on 127.0.0.1:8000
	@if test -f $(REAL_ENCODER)/config.json || $(BIN)/python -m scripts.real_models $(REAL_ENCODER); \
	then exec $(MAKE) --no-print-directory demo-real; else exec $(MAKE) --no-print-directory demo-synthetic; fi

# In fp32, the vectors are those of sentence-transformers; see docs/real_models.md for what bf16 changes. Warming measures
# larger batches of documents, which pays where many people ask.
demo-real: $(REAL_ENCODER)/config.json ## The same, and stop where the sentence encoder (84 MB) cannot be downloaded
	@$(MAKE) --no-print-directory -j $(words $(REAL_BUNDLES)) demo-real-bundles
	@$(BIN)/python scripts/print_demo_request.py --real --host $(HOST) --port $(PORT)
	@BIGBIRD_CPU_PRECISION=$${BIGBIRD_CPU_PRECISION:-fp32} BIGBIRD_WARM_UP_SECONDS=$${BIGBIRD_WARM_UP_SECONDS:-1} \
		exec $(BIN)/bigbird serve --models $(REAL_FOLDER) --host $(HOST) --port $(PORT)

demo-synthetic: $(VENV)/.installed-demo ## Serve the checkpoints that are in the repository, which know generated reports
	@$(MAKE) --no-print-directory -j $(words $(DEMO_TASKS)) demo-bundles
	@$(BIN)/python scripts/print_demo_request.py --host $(HOST) --port $(PORT)
	@exec $(BIN)/bigbird serve --models $(DEMO_FOLDER) --host $(HOST) --port $(PORT)

demo-bundles: $(DEMO_BUNDLES)

demo-real-bundles: $(REAL_BUNDLES)

$(REAL_ENCODER)/config.json: | $(VENV)/.installed-demo
	@$(BIN)/python -m scripts.real_models $(@D)

$(REAL_FOLDER)/real-embed/manifest.json: $(REAL_ENCODER)/config.json
	@$(REAL_EXPORT) $(<D) --output $(@D)
	@cp $(REAL_ENCODER)/NOTICE.txt $(@D)/
	@touch $@

$(REAL_FOLDER)/real-%/manifest.json: examples/adapters/real-%/adapter_model.safetensors examples/adapters/real-%/config.json $(REAL_ENCODER)/config.json
	@$(REAL_EXPORT) $(<D) --base $(REAL_ENCODER) --output $(@D)
	@cp $(REAL_ENCODER)/NOTICE.txt $(@D)/
	@touch $@

# No package has a model for questions.
$(REAL_FOLDER)/demo-qa/manifest.json: $(DEMO_FOLDER)/demo-qa/manifest.json
	@rm -rf $(@D) && mkdir -p $(REAL_FOLDER) && cp -R $(<D) $(@D)
	@touch $@

# Several run side by side on one terminal: lines, each with its model's name, in place of bars.
$(DEMO_FOLDER)/demo-%/manifest.json: examples/checkpoints/demo-%/model.safetensors examples/checkpoints/demo-%/config.json
	@TERM=dumb OMP_NUM_THREADS=1 $(BIN)/bigbird export $(dir $<) --output $(@D) --overwrite
	@touch $@

test: install ## Run the whole test suite, a process for each core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-integration: install ## Run the tests that need foreign programs or take long
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "integration and not slow" -n auto --dist loadfile --no-loadscope-reorder

test-slow: install ## Run the tests that take minutes: the base configuration at full size
	$(BIN)/python -m pytest -m slow

soak: install demo-bundles ## Try to break it, for about 50 minutes; the table goes to docs/reliability.md
	$(BIN)/python -m tests.reliability.soak --bundles bundles --docs docs/reliability.md

lint: install ## Check style, formatting and what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: install ## Check types, for this machine and for the ends of what is supported
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.14 --platform linux
	$(BIN)/mypy --python-version 3.14 --platform darwin

check: lint types test ## What the continuous integration does

audit: ## Ask for known holes in the pinned packages (needs a network)
	$(PYTHON) -m venv .audit
	.audit/bin/pip install --quiet pip-audit==2.10.1
	.audit/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

# What takes long has commands of its own: `make soak`, `make bench-accuracy`, and for bulk work `python -m
# benchmarks.batch BUNDLE` (20,000 documents) and `benchmarks.batch_going_on BUNDLE` (a million rows).
bench: install demo-bundles ## Measure speed and memory (at most 45 minutes); results go to benchmarks/results
	@for benchmark in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$benchmark || exit; done

bench-quick: install demo-bundles ## The same with fewer lengths and repeats (5 minutes)
	@for benchmark in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$benchmark --quick || exit; done

bench-accuracy: install demo-bundles $(INT8_BUNDLES) ## Measure the accuracy of the demo checkpoints through HTTP
	$(BIN)/python -m benchmarks.demo_accuracy --models bundles --models bundles-int8 --questions 2

# The tolerance: see docs/demo.md.
bundles-int8/demo-%/manifest.json: examples/checkpoints/demo-%/model.safetensors | install
	$(BIN)/bigbird export $(<D) --output $(@D) --precision int8 --tolerance 4 --overwrite

clean: ## Remove .venv, bundles and caches
	rm -rf $(VENV) .audit bundles bundles-int8 bundles-real real-models benchmarks/.cache .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[cpu,export]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.installed-demo
