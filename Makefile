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

# Questions of data/handbook/queries.jsonl on which the modes differ.
MEANING = "an employee quit today, how do I cut off everything they had"
WORDS = "what does QM-6013 mean"
BOTH = "the server does not come up after the update, QM-5002"

define in_each_mode
	$(BIN)/embedsearch search -k 1 --mode semantic $(1)
	$(BIN)/embedsearch search -k 1 --mode keyword $(1)
	$(BIN)/embedsearch search -k 1 --mode hybrid $(1)
endef

demo: export EMBEDSEARCH_DB = .demo.es
demo: .venv/.ready
	@echo
	@echo '--- Index a folder: 45 pages of the handbook of Quaymaster, a product that does not exist.'
	$(BIN)/embedsearch index data/handbook/corpus
	@echo
	@echo '--- Again: nothing has changed, so no file is read and no model is loaded.'
	$(BIN)/embedsearch index data/handbook/corpus
	@echo
	@echo '--- A question in everyday words. By meaning it is answered; by words it is not.'
	$(call in_each_mode,$(MEANING))
	@echo '--- An error code means nothing to a model. By words its page is found.'
	$(call in_each_mode,$(WORDS))
	@echo '--- A situation and an error code. Each alone misses the page; hybrid, the default, finds it.'
	$(call in_each_mode,$(BOTH))
	@echo '--- All 64 questions of data/handbook, measured: by meaning, by words, and both.'
	$(BIN)/embedsearch evaluate search data/handbook --db .demo-judged.es --mode semantic
	$(BIN)/embedsearch evaluate search data/handbook --db .demo-judged.es --mode keyword
	$(BIN)/embedsearch evaluate search data/handbook --db .demo-judged.es --mode hybrid
	@echo
	@echo '--- Playlists of songs that do not exist: what goes with two songs, typed carelessly, and why.'
	$(BIN)/embedsearch train songs data/songs/train.txt --songs data/songs/song_hash.txt --tags data/songs/tags.txt --out .demo-songs
	$(BIN)/embedsearch recommend --model .demo-songs "window seat" "fog over the peir" -k 3 --why
	$(BIN)/embedsearch recommend --model .demo-songs --text "slow piano for a rainy day" -k 3
	@echo
	@echo '--- Your turn:  $(BIN)/embedsearch index FOLDER  and then  $(BIN)/embedsearch search "QUESTION"'

test: .venv/.ready
	$(BIN)/pytest -n auto --maxprocesses 4

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Takes hours; benchmarks/README.md tells what each measures and how to run one.
bench: .venv/.ready
	status=0; \
	for script in $(filter-out %/common.py,$(wildcard benchmarks/*.py)); do \
		$(BIN)/python $$script --save || status=1; \
	done; \
	exit $$status

clean:
	rm -rf .venv .demo.es .demo-judged.es .demo-songs .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "--- Setting up .venv with faiss-$(FAISS). The first time takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip uninstall -qq --yes faiss-$(OTHER_FAISS)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(FAISS),dev]'
	@touch $@
