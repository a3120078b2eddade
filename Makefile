# make run, make test: both set up everything they need, in .venv, on a machine with Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= results
MINUTES ?= 60

LOOPS := $(shell find surp_fl -name '*.pxd') $(patsubst %.pxd,%.py,$(shell find surp_fl -name '*.pxd'))

.PHONY: run test quick docs lint types tests fuzz attacks conformance chaos compat compat-short reproduce flower bench peers \
	deployment render setup clean

run: $(READY)  ## LeNet-5 on MNIST over 10 clients: dense FedAvg, SuRP and the paper's SuRP at 218 B and 2,050 B, 20 rounds
	$(BIN)/python -m simulations.experiments.compare --schemes dense surp surp-paper --budgets 218 2050 --rounds 20 --out $(OUT)

test: lint types tests  ## style, types and the whole suite

reproduce: $(READY)  ## the full comparison: tuning, then every scheme with three seeds; hours; goes on where it stopped
	$(BIN)/python -m simulations.experiments.reproduce --out $(OUT)
	$(BIN)/python -m simulations.experiments.peers --out $(OUT)/peers

flower: $(READY)  ## the same app through `flwr run` (Ray) and in-process, side by side
	$(BIN)/python -m simulations.experiments.flower --scheme surp:218 --rounds 3 --out $(OUT)

bench: $(READY)  ## codec beside torch.topk; all schemes on real updates; a server's round; whole models beside zlib, lzma, zstd
	$(BIN)/python -m simulations.benchmarks.codec --out $(OUT)
	$(BIN)/python -m simulations.benchmarks.schemes --out $(OUT)
	$(BIN)/python -m simulations.benchmarks.server --out $(OUT)
	$(BIN)/python -m simulations.benchmarks.lossless --out $(OUT)

peers: $(READY)  ## NNCodec (ISO/IEC 15938-17) in an environment of its own; trained models and updates beside it; hours
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check nncodec==2.1.3
	$(BIN)/python -m simulations.experiments.update_rates --nncodec build/peers/bin/python --out $(OUT)/update_rates
	$(BIN)/python -m simulations.experiments.model_files --nncodec build/peers/bin/python --out $(OUT)/model_files

deployment: $(READY)  ## a SuperLink and two SuperNodes on loopback; bytes on the wire: FedAvg, SuRP up, SuRP both ways
	$(BIN)/python -m simulations.experiments.deployment --downlinks none surp:2000 --fraction-evaluate 1 --rounds 5 --out $(OUT)

render: $(READY)  ## every committed table, plot and README block anew, from the committed rows
	$(BIN)/python -m simulations.report.render

setup: $(READY)

$(READY): pyproject.toml setup.py $(LOOPS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[simulation,dev,docs]"
	touch $(READY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy surp_fl simulations tests

quick: lint types  ## what takes under two minutes: no long run, no process of Flower's
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not deployment"

docs: $(READY)  ## the site, from docs/, the docstrings and the committed results, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

tests: $(READY)  # in two processes; tests of one xdist_group share one; those of codecs also with uncompiled loops
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup
	SURP_FL_PURE_PYTHON=1 HYPOTHESIS_PROFILE=few $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not compiled" tests/entropy tests/codecs

fuzz: $(READY)  ## every reader: damaged and invented messages, then libFuzzer (for C too, where there is clang) for MINUTES
	SURP_FL_CHECK_BOUNDS=1 $(BIN)/python setup.py --quiet build --build-temp build/checked-temp --build-lib build/checked
	PYTHONPATH=build/checked:. $(BIN)/python -P -m tests.fuzz.messages --count 200000
	$(PYTHON) -m venv build/fuzz
	build/fuzz/bin/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0 numpy bitarray flwr tqdm
	PYTHONPATH=build/checked:. build/fuzz/bin/python -P -m tests.fuzz.guided --minutes $(MINUTES) --jobs 2

attacks: $(READY)  ## named attacks, each of which must fail, and what they came to
	$(BIN)/python -m tests.attacks

conformance: $(READY)  ## 10,000 messages that no encoder chose, through the library, compiled and not, and the reader in C
	$(BIN)/python -m tests.conformance.run --count 10000

chaos: $(READY)  ## 1,000 rounds in process, and of processes of Flower, with clients and server killed, delayed, duplicated
	$(BIN)/python -m tests.chaos.in_process --rounds 1000
	$(BIN)/python -m tests.chaos.deployment --rounds 1000

compat:  ## Flower, Python and NumPy, oldest to newest, each in an environment of its own in build/compat
	$(PYTHON) -m tests.compat.run

compat-short:  ## the oldest Flower and NumPy on this Python, and fewer tests
	$(PYTHON) -m tests.compat.run --short

clean:
	rm -rf $(VENV) build
