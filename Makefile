# Needs Python 3.11 or later with venv, and nothing else. `make` lists the targets.
PYTHON ?= python3
PYTEST_ARGS ?=
PLACES ?=
# A process for each processor; threads beside them would only be in their way.
PYTEST = OMP_NUM_THREADS=1 $(1) -m pytest -n auto --maxprocesses 8 --dist worksteal
PIP_INSTALL = -m pip --disable-pip-version-check install -q

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-oldest test-engines test-kernels test-processors mutation lint format docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed  ## compare with PCA on a bundled table, and draw demo.png
	.venv/bin/python -m sklearn_ae --target digit --figure demo.png

dev: .venv/.installed  ## all that a contributor needs, and the git hook
	.venv/bin/pre-commit install

test: .venv/.installed  ## run the tests (PYTEST_ARGS="-k name" for some of them)
	$(call PYTEST,.venv/bin/python) $(PYTEST_ARGS)

test-oldest: .venv-oldest/.installed  ## run the tests on the oldest supported versions
	$(call PYTEST,.venv-oldest/bin/python) $(PYTEST_ARGS)

test-engines: .venv-engines/.installed  ## run the fits and searches on Dask, Ray and Spark (Java 17)
	OMP_NUM_THREADS=1 .venv-engines/bin/python -m pytest tests/engines sklearn_ae/dask.py $(PYTEST_ARGS)

# Libraries choose their kernels by the processor, and round differently: numbers must hold on all.
OLDEST_KERNELS = ATEN_CPU_CAPABILITY=default
AVX2_KERNELS = ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 \
	OPENBLAS_CORETYPE=Haswell
# The tests that compare numbers.
NUMBERS ?= tests/fitting tests/rows tests/modules tests/pretraining tests/test_globals.py \
	tests/test_properties.py tests/test_sparse.py tests/test_hard_input.py tests/test_denoising.py \
	tests/test_losses.py tests/test_corruption.py tests/test_contract.py tests/test_persistence.py

test-kernels: .venv/.installed  ## test numbers with the kernels of older processors
	$(OLDEST_KERNELS) $(call PYTEST,.venv/bin/python) $(NUMBERS) $(PYTEST_ARGS)
	$(AVX2_KERNELS) $(call PYTEST,.venv/bin/python) $(NUMBERS) $(PYTEST_ARGS)

test-processors: test-kernels  ## the same, and with one thread and with two
	$(call PYTEST,.venv/bin/python) $(NUMBERS) $(PYTEST_ARGS)
	OMP_NUM_THREADS=2 .venv/bin/python -m pytest $(NUMBERS) $(PYTEST_ARGS)

mutation: .venv/.mutation  ## find small faults that the tests let pass (PLACES="choice" for one)
	.venv/bin/python benchmarks/mutation.py $(PLACES)

lint: .venv/.installed  ## ruff, mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: .venv/.installed  ## let ruff repair what it can
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

docs: .venv-docs/.installed  ## build the documentation, docs/_build/html; a warning fails it
	.venv-docs/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:  ## remove the environments, caches and build outputs
	rm -rf .venv .venv-oldest .venv-engines .venv-docs .venv-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf build dist demo.png docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find sklearn_ae tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp marks a finished installation; an interrupted one leaves none and is taken up again.
.venv/.installed: pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python $(PIP_INSTALL) -c constraints.txt -e ".[dev]"
	@touch $@

.venv/.mutation: .venv/.installed
	.venv/bin/python $(PIP_INSTALL) -c constraints.txt -e ".[mutation]"
	@touch $@

.venv-oldest/.installed: pyproject.toml constraints-oldest.txt
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python $(PIP_INSTALL) -c constraints-oldest.txt -e ".[test]"
	@touch $@

.venv-engines/.installed: pyproject.toml constraints-engines.txt
	test -x .venv-engines/bin/python || $(PYTHON) -m venv .venv-engines
	.venv-engines/bin/python $(PIP_INSTALL) -c constraints-engines.txt -e ".[engines]"
	@touch $@

.venv-docs/.installed: pyproject.toml constraints.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python $(PIP_INSTALL) -c constraints.txt -e ".[docs]"
	@touch $@
