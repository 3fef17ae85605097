# `make check` after every change, `make test` before every push. PYTHON=.venv/bin/python chooses an environment.
PYTHON ?= python3

.PHONY: check test format gpu-modules gpu-test gpu-bench-modules gpu-bench

check:  ## a few seconds: style, types, and one walk through everything
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q -x tests/test_packaging.py tests/examples/test_demo.py tests/examples/test_published.py -m "not slow"

test:  ## the whole suite
	$(PYTHON) -m pytest -q -n auto --dist worksteal

format:  ## Python and .net files in their one layout
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m netdsl fmt $$(git ls-files 'examples/*.net')

gpu-modules:  ## what the GPU tests run, written here: a machine with a GPU needs build/gpu and tests/gpu, torch and triton
	$(PYTHON) tests/gpu/generate.py build/gpu

gpu-test: gpu-modules  ## needs a GPU; without netdsl and pytest: python tests/gpu/checks.py build/gpu
	$(PYTHON) -m pytest -q tests/gpu

gpu-bench-modules:  ## what the GPU benchmark runs: a machine with a GPU needs build/gpu-bench and benchmarks, torch and triton
	$(PYTHON) benchmarks/gpu_modules.py build/gpu-bench

gpu-bench: gpu-bench-modules  ## needs a GPU; without netdsl: python benchmarks/gpu.py build/gpu-bench
	$(PYTHON) benchmarks/gpu.py build/gpu-bench
