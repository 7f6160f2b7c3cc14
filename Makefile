# `make demo` and `make test` set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint languages lock clean

demo: .venv/ready
	$(BIN)/python -m demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

test: .venv/ready lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

languages: .venv/ready
	$(BIN)/python -m tests.sentences

# What is installed, as it was tested together. The version of a CPU's torch says so; users' does not.
lock: .venv/ready
	grep '^#' requirements.lock > requirements.lock.new
	$(BIN)/python -m pip freeze | sed 's/+cpu$$//' >> requirements.lock.new
	mv requirements.lock.new requirements.lock

.venv/ready: requirements.txt requirements-dev.txt requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "Setting up .venv, once. On Linux PyTorch comes with CUDA: some gigabytes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt -c requirements.lock
	touch $@

clean:
	rm -rf .venv demo/out
