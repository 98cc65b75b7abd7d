# Everything runs from .venv, which the first target makes: `make demo` and `make test` need nothing
# but Python 3.11 or newer.
.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

# The first interpreter that runs and is new enough.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo $$python; break; fi; done)

# faiss-cpu and faiss-gpu are the same module: one of them, never both.
FAISS = $(if $(shell nvidia-smi -L 2>/dev/null | grep '^GPU '),gpu,cpu)
OTHER_FAISS = $(if $(filter gpu,$(FAISS)),cpu,gpu)

# The public sets, for the tests and benchmarks that read them.
ifndef EMBEDSEARCH_DATA
ifneq ($(wildcard ../shared/data/.),)
export EMBEDSEARCH_DATA := $(abspath ../shared/data)
endif
endif

BIN = .venv/bin

demo: export EMBEDSEARCH_DB = .demo.es
demo: .venv/.ready
	@echo
	@echo '--- Index a folder: 45 pages of the handbook of Quaymaster, a product that does not exist.'
	$(BIN)/embedsearch index data/handbook/corpus
	@echo
	@echo '--- Again: nothing changed, so nothing is read or embedded, and no model is loaded.'
	$(BIN)/embedsearch index data/handbook/corpus
	@echo
	@echo '--- A question in everyday words, which the page that answers it (audit, roles, tokens) hardly shares.'
	@echo '--- By meaning it is found; by words it is not.'
	$(BIN)/embedsearch search -k 1 --mode semantic $(MEANING)
	$(BIN)/embedsearch search -k 1 --mode keyword $(MEANING)
	@echo
	@echo '--- An error code has no meaning that a model could know. By words it is found.'
	$(BIN)/embedsearch search -k 1 --mode semantic $(WORDS)
	$(BIN)/embedsearch search -k 1 --mode keyword $(WORDS)
	@echo
	@echo '--- The default, hybrid, does both.'
	$(BIN)/embedsearch search -k 1 $(MEANING)
	$(BIN)/embedsearch search -k 1 $(WORDS)
	@echo
	@echo '--- Measured over the 64 questions of data/handbook: each mode, and both together.'
	$(BIN)/embedsearch evaluate search data/handbook --mode semantic
	$(BIN)/embedsearch evaluate search data/handbook --mode keyword
	$(BIN)/embedsearch evaluate search data/handbook --mode hybrid
	@echo
	@echo '--- Your turn:  $(BIN)/embedsearch index FOLDER   and   $(BIN)/embedsearch search "QUESTION"'

MEANING = "an employee quit today, how do I cut off everything they had"
WORDS = "QM-4224 refused"

test: .venv/.ready
	$(BIN)/pytest

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .demo.es .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "--- Setting up .venv with faiss-$(FAISS). The first time takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip uninstall -qq --yes faiss-$(OTHER_FAISS)
	$(BIN)/python -m pip install -c constraints.txt -e '.[$(FAISS),dev]'
	@touch $@
