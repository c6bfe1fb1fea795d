# Each target works as the first command on a machine that has Python 3.11+, make and apt. `make` alone lists them.
# What is made is stamped, and made again when its lock changes.

VENV := .venv
NODE := tests/real/node
# pytest processes side by side
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# handed on, as in: make demo ARGS="--no-browser", make test ARGS="tests/unit -x"
ARGS ?=

# servers a user without root had unpacked (tools/servers.sh)
export PATH := $(PATH):$(CURDIR)/build/servers

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format docs bench soak lock clean

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.runtime ## installs vestibule into .venv

demo: setup ## runs the whole product on loopback, nothing to register
	$(VENV)/bin/vestibule demo $(value ARGS)

test: lint $(NODE)/node_modules/.installed ## runs every test, against real servers too
	@tools/servers.sh
	@tools/keycloak.sh
	@tools/sslyze.sh
# hundreds of tests start the program; where PYTHONDONTWRITEBYTECODE is set, each start would compile all of it
	@$(VENV)/bin/python -m compileall -q src
	$(VENV)/bin/pytest -m "not soak" -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(VENV)/.dev ## checks style and types, changes nothing
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.dev ## formats the code and mends what can be mended by itself
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.dev ## writes what of the docs is made from the code
	$(VENV)/bin/python -m vestibule.config.manual > docs/configuration.md
	$(VENV)/bin/python -m vestibule.config.importers.table oauth2-proxy > docs/moving/oauth2-proxy-options.md
	$(VENV)/bin/python -m vestibule.config.importers.table vouch > docs/moving/vouch-options.md
	$(VENV)/bin/python -m vestibule.web.api.app > docs/api/openapi.json

bench: $(VENV)/.dev ## measures the product beside nginx
	@tools/servers.sh nginx
	$(VENV)/bin/python -m bench $(ARGS)

soak: $(VENV)/.dev $(NODE)/node_modules/.installed ## runs the tests that take long
	@tools/servers.sh
	$(VENV)/bin/pytest -m soak --timeout 0 $(ARGS)

lock: ## writes both locks from pyproject.toml anew
	tools/lock.sh

clean: ## removes what the other targets made
	rm -rf $(VENV) $(NODE)/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/.runtime: requirements.lock pyproject.toml tools/venv.sh
	@tools/venv.sh requirements.lock && touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml tools/venv.sh
	@tools/venv.sh requirements-dev.lock && touch $@ $(VENV)/.runtime

$(NODE)/node_modules/.installed: $(NODE)/package-lock.json $(VENV)/.dev tools/npm.sh
	@tools/npm.sh ci $(NODE) && touch $@
