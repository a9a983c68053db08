# Two commands: `make run` and `make test`. The rest is for maintainers: `make help` lists it.
.DEFAULT_GOAL := help
# Debian's own, where it can make environments: it is built with PGO, and takes a sixth to a fifth less CPU than pyenv's.
PYTHON ?= $(shell /usr/bin/python3.11 -c 'import ensurepip' 2>/dev/null && echo /usr/bin/python3.11 \
	|| command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help run test faults soak mutants lint types imports unit clients format messages lock clean audit \
	bench bench-streams bench-growth bench-drainer bench-dashboard

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/messages  ## install, start everything, print an account and a curl line
	@exec $(BIN)/python -m iafactory.run

test: lint types imports unit  ## lint, types, import contracts, tests

lint: .venv/installed-dev  ## ruff, and a scan for secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python manage.py scan_secrets .

types: .venv/installed-dev  ## mypy
	$(BIN)/mypy .

imports: .venv/installed-dev  ## import contracts
	$(BIN)/lint-imports

unit: .venv/installed-dev .venv/messages  ## the tests alone
	$(BIN)/python -m pytest

# Clients too heavy for every run (aider, LlamaIndex, LiteLLM, Continue, Node): minutes, and some 9 GB under var/clients.
clients: .venv/installed-dev .venv/messages  ## try other people's clients for real (minutes, some 9 GB)
	$(BIN)/python -m pytest tests/clients/try_clients.py tests/clients/try_corpus.py -rA

# The promises under fire: every fault in turn (half an hour), a table, also in var/faults.md. FAULTS="Redis away" plays one.
faults: .venv/installed-dev .venv/messages  ## the promises under fire, with a table of violations (25 minutes)
	$(BIN)/python -m tests.faults $(if $(FAULTS),"$(FAULTS)")

# Steady load, and the memory of every program over it.
soak: .venv/installed-dev .venv/messages  ## steady load, and the memory over it
	$(BIN)/python -m tests.faults.soak --seconds $(or $(SOAK_SECONDS),900)

# Small faults put into the money's code one at a time: do the tests beside it notice them? (Two hours.) A table, also in
# var/mutants.md. MUTANTS="pricing lua" tries some.
mutants: .venv/installed-dev .venv/messages var/mutants/venv/installed  ## small faults in the money's code: do the tests notice? (hours)
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

format: .venv/installed-dev  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Measurements (docs/performance.md). They want the machine to themselves.
bench: .venv/installed var/bench/venv/installed var/bench/venv-litellm/installed var/bench/portkey/installed  ## measure beside LiteLLM and Portkey
	$(BIN)/python -m benchmarks --rounds $(or $(ROUNDS),3) $(if $(ONLY),--only $(ONLY))

bench-streams: .venv/installed var/bench/venv/installed  ## measure many streams at once
	$(BIN)/python -m benchmarks.streams $(if $(STREAMS),--streams $(STREAMS))

# The operator's page and JSON over ROWS usage rows (2 million unless said otherwise).
bench-dashboard: .venv/installed  ## measure the dashboard over millions of rows
	$(BIN)/python -m benchmarks.dashboard $(if $(ROWS),--rows $(ROWS))

bench-growth: .venv/installed var/bench/venv/installed  ## measure many users and rows
	$(BIN)/python -m benchmarks.growth $(if $(USERS),--users $(USERS)) $(if $(ROWS),--rows $(ROWS))

bench-drainer: .venv/installed  ## measure the drainer
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
messages: .venv/installed  ## collect sentences to translate
	$(BIN)/python manage.py makemessages --locale fr --locale ar --no-location --no-wrap --ignore .venv --ignore var

# Every version pinned, with who asks for it.
lock: .venv/installed  ## pin every version anew
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-header requirements-dev.in -o requirements-dev.txt

# Known vulnerabilities of what is pinned; asks PyPI.
audit:  ## known vulnerabilities of what is pinned
	@.ci/audit

clean:  ## remove what was installed and cached
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The translations, compiled; by Babel, because a bare machine has no msgfmt.
.venv/messages: .venv/installed $(wildcard locale/*/LC_MESSAGES/django.po)
	@$(BIN)/pybabel --quiet compile --directory=locale --domain=django
	@touch $@

.venv/installed: requirements.txt
	@echo "Installing into .venv (a minute or two, the first time)…"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --quiet --use-pep517 --requirement requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "Installing the test tools…"
	@$(PIP) install --quiet --use-pep517 --requirement requirements-dev.txt
	@touch $@
