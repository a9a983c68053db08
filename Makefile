# Two commands: `make run` and `make test`. The rest is for maintainers.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: run test lint types imports migrations unit lock format clean

run: .venv/installed
	@exec $(BIN)/python -m iafactory.run

test: lint types imports migrations unit

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy .

imports: .venv/installed-dev
	$(BIN)/lint-imports

migrations: .venv/installed-dev
	$(BIN)/python manage.py makemigrations --check --dry-run

unit: .venv/installed-dev
	$(BIN)/python -m pytest

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every version pinned, with who asks for it.
lock: .venv/installed
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.venv/installed: requirements.txt locale
	@echo "Installing into .venv (a minute or two, the first time)…"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --quiet --requirement requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "Installing the test tools…"
	@$(PIP) install --quiet --requirement requirements-dev.txt
	@touch $@
