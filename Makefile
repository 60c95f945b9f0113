# Every target does the set-up it needs: the environment is made once, and again when what it is made of changes.

ENV     := .venv
BIN     := $(ENV)/bin
READY   := $(ENV)/.ready
PEERS   := .bench-venv/.ready .flair-venv/.ready
FUZZER  := .fuzz-venv/.ready
READERS := vectors_text vectors_binary safetensors elmo conll csv jsonl parquet text tokenizer settings config manifest
SECONDS := 600
SOURCES := src tests benchmarks examples

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-full test soak lint format bench bench-quick fuzz clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make the virtual environment in .venv, with the versions of requirements.lock

$(READY): requirements.lock pyproject.toml
	@python=; for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
		if $$candidate -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python=$$candidate; break; fi; done; \
	test -n "$$python" || { echo "headstart needs Python 3.11 or later with its venv module" \
		"(on Debian and Ubuntu: apt install python3.11-venv), or name one: make setup PYTHON=..."; exit 1; }; \
	set -x; $$python -m venv --clear $(ENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	$(BIN)/python -m compileall -q src  # once, also where PYTHONDONTWRITEBYTECODE is set
	@touch $@

demo: $(READY)  ## Compare methods on BBC News in 20 minutes at most, show where the report is, and use the winner
	$(BIN)/headstart compare --out runs/demo
	@echo; echo "The report is runs/demo/report.html: open it in a browser. The winner, used on two new sentences:"; echo
	$(BIN)/headstart predict runs/demo/best \
		--text "The striker scored twice as the champions won the cup final." \
		--text "Shares fell after the central bank raised interest rates."

demo-full: $(READY)  ## The demo without its limit of 20 minutes: every method with every number of labels
	$(BIN)/headstart compare --minutes inf --out runs/demo-full
	@echo; echo "The report is runs/demo-full/report.html: open it in a browser."

test: $(READY)  ## Run the tests, a process a core
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

soak: $(READY)  ## Kill each objective's runs fifty times and predictions a hundred, and count what is lost
	$(BIN)/python -m benchmarks.soak --kills 50 --predictions 100

lint: $(READY)  ## Check format, style, types and the order of the imports
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## Format the code and fix what ruff can fix
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.bench-venv/.ready: benchmarks/requirements.txt $(READY)
.flair-venv/.ready: benchmarks/requirements-flair.txt $(READY)
$(PEERS):
	$(BIN)/python -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench: $(PEERS)  ## Measure speed and quality side by side with peers (some hours)
	$(BIN)/python -m benchmarks

bench-quick: $(PEERS)  ## Speed alone, on small inputs (minutes)
	$(BIN)/python -m benchmarks --quick

$(FUZZER): tests/fuzz/requirements.txt $(READY)
	$(BIN)/python -m venv --clear .fuzz-venv
	.fuzz-venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/fuzz/requirements.txt
	@touch $@

fuzz: $(FUZZER)  ## Fuzz every reader for SECONDS=600 each; READERS=csv for one of them
	@site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	failed=; for reader in $(READERS); do echo "fuzzing $$reader for $(SECONDS) s"; \
		PYTHONPATH="src:$$site" OMP_NUM_THREADS=1 .fuzz-venv/bin/python -m tests.fuzz $$reader $(SECONDS) \
			|| failed="$$failed $$reader"; done; \
	test -z "$$failed" || { echo "findings:$$failed; see tests/fuzz/corpus"; exit 1; }

clean:  ## Remove the environment and every cache, but no run
	rm -rf $(ENV) .bench-venv .flair-venv .fuzz-venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
