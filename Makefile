# Two commands: `make run` and `make test`. The rest is for maintainers.
# Debian's own, where it can make environments: it is built with PGO, and takes a sixth to a fifth less CPU than pyenv's.
PYTHON ?= $(shell /usr/bin/python3.11 -c 'import ensurepip' 2>/dev/null && echo /usr/bin/python3.11 \
	|| command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: run test faults soak mutants lint types imports unit clients format messages lock clean audit \
	bench bench-streams bench-growth bench-drainer bench-dashboard

run: .venv/messages
	@exec $(BIN)/python -m iafactory.run

test: lint types imports unit

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python manage.py scan_secrets .

types: .venv/installed-dev
	$(BIN)/mypy .

imports: .venv/installed-dev
	$(BIN)/lint-imports

unit: .venv/installed-dev .venv/messages
	$(BIN)/python -m pytest

# Clients too heavy for every run (aider, LlamaIndex, LiteLLM, Continue, Node): minutes, and some 9 GB under var/clients.
clients: .venv/installed-dev .venv/messages
	$(BIN)/python -m pytest tests/clients/try_clients.py tests/clients/try_corpus.py -rA

# The promises under fire: every fault in turn (half an hour), a table, also in var/faults.md. FAULTS="Redis away" plays one.
faults: .venv/installed-dev .venv/messages
	$(BIN)/python -m tests.faults $(if $(FAULTS),"$(FAULTS)")

# Steady load, and the memory of every program over it.
soak: .venv/installed-dev .venv/messages
	$(BIN)/python -m tests.faults.soak --seconds $(or $(SOAK_SECONDS),900)

# Small faults put into the money's code one at a time: do the tests beside it notice them? (Two hours.) A table, also in
# var/mutants.md. MUTANTS="pricing lua" tries some.
mutants: .venv/installed-dev .venv/messages var/mutants/venv/installed
	$(BIN)/python -m tests.mutants $(MUTANTS)

# mutmut has an environment of its own on top of ours: it brings setproctitle, with which gunicorn would overwrite its
# environment, by which `make run` knows its processes.
var/mutants/venv/installed: tests/mutants/requirements.txt
	@test -x var/mutants/venv/bin/python || $(PYTHON) -m venv var/mutants/venv
	@var/mutants/venv/bin/python -m pip --disable-pip-version-check --quiet install \
		--requirement tests/mutants/requirements.txt --constraint requirements-dev.txt
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(var/mutants/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/product.pth"
	@touch $@

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Measurements (docs/performance.md). They want the machine to themselves.
bench: .venv/installed var/bench/venv/installed var/bench/venv-litellm/installed var/bench/portkey/installed
	$(BIN)/python -m benchmarks --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

bench-streams: .venv/installed var/bench/venv/installed
	$(BIN)/python -m benchmarks.streams $(if $(STREAMS),--streams $(STREAMS))

# The operator's page and JSON over ROWS usage rows (2 million unless said otherwise).
bench-dashboard: .venv/installed
	$(BIN)/python -m benchmarks.dashboard $(if $(ROWS),--rows $(ROWS))

bench-growth: .venv/installed var/bench/venv/installed
	$(BIN)/python -m benchmarks.growth $(if $(USERS),--users $(USERS)) $(if $(ROWS),--rows $(ROWS))

bench-drainer: .venv/installed
	$(BIN)/python -m benchmarks.drainer $(if $(ROWS),--rows $(ROWS))

# The stand-ins' and the compared programs' own environment: nothing of it is the product's.
var/bench/venv/installed: benchmarks/requirements.txt
	@test -x var/bench/venv/bin/python || $(PYTHON) -m venv var/bench/venv
	@var/bench/venv/bin/python -m pip --disable-pip-version-check --quiet install --requirement benchmarks/requirements.txt
	@touch $@

# The peers, each in a place of its own. Portkey needs node and npm (Debian: apt-get install nodejs npm).
var/bench/venv-litellm/installed:
	$(PYTHON) -m venv var/bench/venv-litellm
	@var/bench/venv-litellm/bin/python -m pip --disable-pip-version-check --quiet install 'litellm[proxy]==1.106.2'
	@touch $@

var/bench/portkey/installed:
	@mkdir -p var/bench/portkey
	@cd var/bench/portkey && npm install --no-audit --no-fund --silent @portkey-ai/gateway@1.15.2
	@touch $@

# Collect the sentences to translate (needs gettext's xgettext).
messages: .venv/installed
	$(BIN)/python manage.py makemessages --locale fr --locale ar --no-location --no-wrap --ignore .venv --ignore var

# Every version pinned, with who asks for it.
lock: .venv/installed
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header requirements-dev.in -o requirements-dev.txt

# Known vulnerabilities of what is pinned; asks PyPI.
audit:
	@.ci/audit

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The translations, compiled; by Babel, because a bare machine has no msgfmt.
.venv/messages: .venv/installed $(wildcard locale/*/LC_MESSAGES/django.po)
	@$(BIN)/pybabel --quiet compile --directory=locale --domain=django
	@touch $@

.venv/installed: requirements.txt
	@echo "Installing into .venv (a minute or two, the first time)…"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --quiet --requirement requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "Installing the test tools…"
	@$(PIP) install --quiet --requirement requirements-dev.txt
	@touch $@
