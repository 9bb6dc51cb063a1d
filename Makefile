# `make help` lists the targets. Nothing needs installing by hand but Python 3.11+, a C++20 compiler and make.
#
# How llamad gets into .venv: `make test`, `make serve` and `make bench` install it as a user would (a wheel,
# not editable), so they see missing files and wrong paths. `make dev` installs it editable: an edited Python
# file is live, and only C++ needs a rebuild. Either replaces the other; both build in build/cpython-3xx, so
# neither compiles llama.cpp again.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
JOBS ?= $(shell nproc)
# The interpreter to make .venv with; empty searches for one.
PYTHON ?=
# Where models are, and further flags for `make serve` and `make dev`: make serve ARGS="--port 9000".
MODELS ?= models
ARGS ?=

# The venv's tools come first, for recipes and for whatever these start.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# Directories are listed too: adding or removing a file changes its directory's time.
PYTHON_FILES := $(shell find python -not -path '*__pycache__*' -not -path '*/.*_cache*')
CPP_FILES := $(shell find cpp cmake -not -path '*__pycache__*')
CPP_TESTS := $(shell find tests/cpp)
CPP_HEADERS := $(filter %.h,$(CPP_FILES) $(CPP_TESTS))
CPP_UNITS := $(filter %.cpp,$(CPP_FILES) $(CPP_TESTS))
BUILD_FILES := CMakeLists.txt pyproject.toml

##@ Use

.PHONY: serve
serve: install ## Install, pull the default model if there is no model, and serve.
	@$(PULL_DEFAULT)
	llamad --model-directory $(MODELS) $(ARGS)

PULL_DEFAULT = mkdir -p $(MODELS); \
	[ -n "$$(find -L $(MODELS) -name '*.gguf' -print -quit)" ] || llamad pull smollm2 --model-directory $(MODELS)

.PHONY: wheel
wheel: $(VENV)/.deps ## A wheel that runs on other machines too, in dist/.
	LLAMAD_NATIVE=OFF pip wheel --no-deps --no-build-isolation -C build-dir=build/wheel -w dist .

##@ Develop

.PHONY: test
test: lint types cpp-test cpp-test-llama py-test ## Lint, types, C++ tests (plain, TSan, ASan), Python tests.

.PHONY: dev
dev: editable ## Serve; rebuild and restart on every change to C++ or Python.
# The shell waits for a running build before it gives way to the next (two at once would share a build
# directory), and becomes the server, so that the server itself gets the signal.
	@$(PULL_DEFAULT)
	watchfiles --sigint-timeout 600 --target-type command "bash -c 'trap \"exit 130\" INT; \
	make --no-print-directory editable && exec llamad --model-directory $(MODELS) --lameduck 1 $(ARGS)'" \
	cpp cmake python CMakeLists.txt

.PHONY: fmt
fmt: $(VENV)/.deps ## Format everything.
	ruff check --quiet --fix-only .
	ruff format .
	clang-format -i $(CPP_UNITS) $(CPP_HEADERS)

.PHONY: lint
lint: $(VENV)/.clients ## ruff, clang-format, mypy, clang-tidy.
	ruff check .
	ruff format --check .
	clang-format --dry-run -Werror $(CPP_UNITS) $(CPP_HEADERS)
# mypy first: it keeps one core busy for a minute, and clang-tidy the others.
	@$(MAKE) --no-print-directory --output-sync --jobs=$(JOBS) mypy clang-tidy

.PHONY: types
types: install mypy ## mypy, and whether _engine.pyi says what _engine is.
	python -m mypy.stubtest --concise --allowlist tests/python/stubtest.allowlist llamad._engine

# It needs no built module: the stub is in the tree.
.PHONY: mypy
mypy: $(VENV)/.clients
	mypy

.PHONY: tidy
tidy: $(VENV)/.deps ## Dependencies that nothing uses, imports that nothing declares.
	deptry python

.PHONY: docs
docs: install $(VENV)/.clients ## The site: guide, reference, notebooks, in build/docs/html.
	python -m sphinx --fail-on-warning --keep-going --quiet -d build/docs/doctrees -c docs . build/docs/html

.PHONY: notebooks
notebooks: install $(VENV)/.clients ## Execute the notebooks of docs/notebooks and save what they show.
	python docs/notebooks/execute.py --model-directory $(MODELS) $(ARGS)

.PHONY: bench
bench: install ## llamad beside its peers on this machine; ARGS="--only prefix" chooses.
	python -m benchmarks.compare $(ARGS)

.PHONY: bench-in-process
bench-in-process: install ## Engine.generate beside llama-cpp-python in a loop; builds that first.
	python -m benchmarks.in_process $(ARGS)

.PHONY: bench-delivery
bench-delivery: install ## What a callback per token costs, and whether a busy Python thread slows the engine.
	python -m benchmarks.delivery $(ARGS)

.PHONY: bench-engine
bench-engine: install ## The engine alone, beside the baseline in the tree; ARGS="-k tiny" chooses.
	python -m pytest benchmarks $(BENCHMARK_FLAGS) --benchmark-compare=benchmarks/baseline.json $(ARGS)

.PHONY: bench-baseline
bench-baseline: install
	python -m pytest benchmarks $(BENCHMARK_FLAGS) --benchmark-json=benchmarks/baseline.json $(ARGS)

BENCHMARK_FLAGS := -q --benchmark-enable --benchmark-sort=fullname --benchmark-columns=median,iqr,rounds

.PHONY: bench-logprobs
bench-logprobs: install ## Do log-probabilities agree with llama-server's?
	python -m benchmarks.logprobs $(ARGS)

.PHONY: bench-tools
bench-tools: install ## CPU per token of a long answer with tools offered, beside llama-server's.
	python -m benchmarks.tool_stream $(ARGS)

.PHONY: soak
soak: install ## Half an hour of mixed traffic: is anything lost or leaked? ARGS="--minutes 3" for a look.
	python -m benchmarks.soak $(ARGS)

.PHONY: drain
drain: install ## SIGTERM under load, a hundred times: is all that was accepted answered?
	python -m benchmarks.drain $(ARGS)

.PHONY: bench-models
bench-models: install ## Six models of which two fit: llamad beside an LRU that loads per request.
	python -m benchmarks.many_models $(ARGS)

.PHONY: bench-scrape
bench-scrape: install ## How long /metrics and /healthz take under full load.
	python -m benchmarks.scrape $(ARGS)

.PHONY: bench-allocators
bench-allocators: install ## What jemalloc and mimalloc bring, where they are installed.
	python -m benchmarks.allocators $(ARGS)

.PHONY: gpu-bundle
gpu-bundle: install ## What benchmarks/gpu.sh builds from on a GPU machine without a network: build/gpu-bundle.
	python -m benchmarks.gpu_bundle $(ARGS)

.PHONY: bench-gpu
bench-gpu: ## Build for the GPU that is here and measure llamad beside its peers; ARGS="--minutes 60".
	benchmarks/gpu.sh
	build/gpu/venv/bin/python -m benchmarks.gpu $(ARGS)

.PHONY: all
all: fmt tidy test wheel ## Everything but the benchmark.

.PHONY: clean
clean: ## Remove what make made, except models and the cached llama.cpp source.
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache

.PHONY: help
help: ## This list.
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

##@ Steps of the above

.PHONY: venv
venv: $(VENV)/.deps ## The virtual environment, without llamad.

.PHONY: install
install: $(VENV)/.installed ## llamad in the virtual environment, as users get it.

.PHONY: editable
editable: $(VENV)/.editable

.PHONY: cpp-test
cpp-test: cpp-test-none cpp-test-thread cpp-test-address ## The core's tests: plain, TSan, ASan with UBSan.

# These two in the directory where the module has been built: neither the core, as it ships, nor llama.cpp is
# compiled again.
.PHONY: cpp-test-none
cpp-test-none: install
	cmake --build build/$(CACHE_TAG) --target llamad_core_tests
	ctest --test-dir build/$(CACHE_TAG)/tests/cpp --output-on-failure --no-tests=error --parallel $(JOBS)

.PHONY: cpp-test-llama
cpp-test-llama: install ## What is compared with llama.cpp itself: sampling, grammars.
	cmake --build build/$(CACHE_TAG) --target llamad_llama_tests
	ctest --test-dir build/$(CACHE_TAG)/tests/cpp/llama --output-on-failure --no-tests=error --parallel $(JOBS)

# Processes that share the test files out. Each loads models, so not as many as a large machine has cores;
# TEST_JOBS=0 runs everything in one, as a debugger wants it.
TEST_JOBS ?= $(shell n=$(JOBS); echo $$((n < 4 ? n : 4)))

# Devices of llama.cpp's RPC backend, and a module that knows them; neither is installed.
.PHONY: rpc-devices
rpc-devices: install ## GPUs for the tests, on machines that have none.
	cmake --build build/$(CACHE_TAG) --target llamad_rpc_tests

.PHONY: py-test
py-test: install rpc-devices $(VENV)/.clients ## pytest; ARGS="-k name" chooses.
	python -m pytest --numprocesses=$(TEST_JOBS) --dist=loadfile $(ARGS)

# The first interpreter that runs (a pyenv shim may not), is new enough, and can make a venv and compile an
# extension module.
FIND_PYTHON = for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip, sysconfig, pathlib; sys.exit(sys.version_info < (3, 11) or \
	not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' 2>/dev/null && break; python=; done; \
	[ -n "$$python" ] || { echo "No Python >= 3.11 with venv and headers: install one (Debian: python3-venv \
	python3-dev), or say make PYTHON=/path/to/python3" >&2; exit 1; }

$(VENV)/bin/python:
	@$(FIND_PYTHON); "$$python" -m venv $(VENV)

# The requirements of an extra of pyproject.toml, one a line; of llamad itself with "".
REQUIREMENTS = python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print(*({"": p["dependencies"]} | p["optional-dependencies"])[sys.argv[1]], sep="\n")'
PIP_FETCH := python -m pip install --quiet --disable-pip-version-check

# Every dependency of llamad and of its development, but not llamad.
$(VENV)/.deps: pyproject.toml | $(VENV)/bin/python
	{ $(REQUIREMENTS) ""; $(REQUIREMENTS) dev; } > $(VENV)/requirements.txt
	$(PIP_FETCH) -r $(VENV)/requirements.txt
	@touch $@

# What only the tests and the documentation need; beside all the above, which these may not exchange for what they
# would rather have.
$(VENV)/.clients: $(VENV)/.deps
	{ $(REQUIREMENTS) clients; $(REQUIREMENTS) docs; } > $(VENV)/clients.txt
	$(PIP_FETCH) -r $(VENV)/requirements.txt -r $(VENV)/clients.txt
	$(REQUIREMENTS) clients-alone > $(VENV)/clients.txt
	$(PIP_FETCH) --no-deps -r $(VENV)/clients.txt
	@touch $@

# Where pip builds. Deferred, for there may be no venv yet; by path, for GNU make before 4.4 runs $(shell)
# without the PATH exported above.
CACHE_TAG = $(shell $(VENV)/bin/python -c 'import sys; print(sys.implementation.cache_tag)')

PIP_INSTALL := python -m pip install --disable-pip-version-check --no-deps --no-build-isolation

# Rewritten where a build option is another than last time: LLAMAD_CUDA=ON make serve, after make serve.
BUILD_OPTIONS := LLAMAD_CUDA LLAMAD_CUDA_ARCHITECTURES LLAMAD_CUBLAS_PYTHON LLAMAD_LLAMA_CPP_DIR LLAMAD_NATIVE \
	LLAMAD_SANITIZE
$(VENV)/.options: FORCE | $(VENV)/bin/python
	@options='$(foreach name,$(BUILD_OPTIONS),$(name)=$($(name)))'; \
	[ "$$(cat $@ 2>/dev/null)" = "$$options" ] || echo "$$options" > $@

.PHONY: FORCE
FORCE:

$(VENV)/.installed: $(VENV)/.deps $(VENV)/.options $(PYTHON_FILES) $(CPP_FILES) $(BUILD_FILES)
	@echo "Building llamad; the first time compiles llama.cpp, which takes minutes."
	@cmake -DLLAMAD_CUDA="$${LLAMAD_CUDA:-AUTO}" -DLLAMAD_NATIVE="$${LLAMAD_NATIVE:-ON}" \
		-DLLAMAD_CUDA_ARCHITECTURES="$${LLAMAD_CUDA_ARCHITECTURES:-}" -P cmake/cuda.cmake
	$(PIP_INSTALL) --force-reinstall .
	@rm -f $(VENV)/.editable; touch $@

# No Python files: they are read where they lie.
$(VENV)/.editable: $(VENV)/.deps $(VENV)/.options $(CPP_FILES) $(BUILD_FILES)
	$(PIP_INSTALL) --editable .
	@rm -f $(VENV)/.installed; touch $@

# Debug, for the sanitizers get assertions too.
build/core-%/.built: $(VENV)/.deps $(filter cpp/engine/core% cpp/engine/embed% cpp/engine/profiler% cmake%,$(CPP_FILES)) $(CPP_TESTS) CMakeLists.txt
	cmake -S . -B build/core-$* -G Ninja --log-level=WARNING -DLLAMAD_CORE_ONLY=ON -DLLAMAD_SANITIZE=$* \
		-DCMAKE_BUILD_TYPE=Debug
	cmake --build build/core-$*
	@touch $@

# ThreadSanitizer of older compilers cannot place its shadow memory where the kernel randomises addresses
# widely; setarch -R turns that off where it is allowed.
NO_ASLR := $(shell setarch -R true 2>/dev/null && echo setarch -R)

.PHONY: cpp-test-thread cpp-test-address
cpp-test-thread cpp-test-address: cpp-test-%: build/core-%/.built
	$(NO_ASLR) ctest --test-dir build/core-$* --output-on-failure --no-tests=error --parallel $(JOBS)

# One stamp per file: only what changed is looked at again, and several at a time.
.PHONY: clang-tidy
# Not what includes CUDA's headers, which need not be here.
clang-tidy: $(patsubst %,build/lint/tidy/%.ok,$(filter-out cpp/engine/cuda_driver/%,$(CPP_UNITS)))

build/lint/tidy/%.ok: % $(CPP_HEADERS) .clang-tidy | build/lint/compile_commands.json
	clang-tidy --quiet -p build/lint $<
	@mkdir -p $(@D); touch $@

# Configured but not built: it is there to tell clang-tidy, and your editor, how each file is compiled. Without
# precompiled headers, so that a missing #include is found.
build/lint/compile_commands.json: $(VENV)/.deps $(CPP_FILES) $(CPP_TESTS) CMakeLists.txt
	cmake -S . -B build/lint -G Ninja --log-level=WARNING -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON \
		-Dpybind11_DIR="$$(pybind11-config --cmakedir)"
	@touch $@
