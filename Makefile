# Everything runs from this checkout: the installer lives in .tools, the packages in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV := .tools/bin/uv
UV_VERSION := 0.13.9
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
# Every start reads compiled modules, those of the tests too, which start the program often.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all lint house bench findings screenshots pictures lock clean

demo: .venv/ready
	@$(BIN)/ciliscope lab

test: .venv/ready
	$(BIN)/pytest -q -n auto --dist worksteal

# The same and what takes long: every lab in a process of its own, and random searches in depth.
test-all: .venv/ready
	HYPOTHESIS_PROFILE=long $(BIN)/pytest -q -n auto --dist worksteal -m ""

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What docs/architecture.md promises, counted.
house: .venv/ready
	@$(BIN)/python -m tests.house

bench: .venv/ready
	$(BIN)/python -m tests.bench

# docs/findings/README.md, from the pages of the catalogue.
findings: .venv/ready
	$(BIN)/python -m tests.finding_index

screenshots: .venv/ready
	$(BIN)/python -m tests.screenshots

# What tests/test_pictures.py compares the screens with.
pictures: .venv/ready
	$(BIN)/python -m tests.pictures

# requirements.lock pins every package with its hash and names no index: the one you use serves it.
lock: $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-strip-markers --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

$(UV):
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv==$(UV_VERSION)

.venv/ready: $(UV) requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
