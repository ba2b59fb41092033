# The two commands for newcomers: `make serve` and `make test`. Both work in .venv, which they make and fill when it is
# missing, and leave alone until pyproject.toml changes. Serving installs no torch; testing adds it.
#
# Variables, given as in `make serve PORT=9000`:
#   PYTHON       The Python (3.11 or newer) that .venv is made with.
#   HOST, PORT   Where `make serve` listens; HOST=0.0.0.0 lets other machines in.
#   JOBS         How many tests run side by side: most of them wait for real time to pass, so two a processor, and at most 8.
#   ARGS         More flags for `quietwire serve`, as in ARGS='--help'.
#   TORCH_INDEX  A further package index for torch. On Linux the default one has torch with several gigabytes of CUDA;
#                TORCH_INDEX=https://download.pytorch.org/whl/cpu takes the small CPU build of the same version.
#                pip's own PIP_EXTRA_INDEX_URL and PIP_FIND_LINKS work too.

PYTHON ?= python3
HOST := 127.0.0.1
PORT := 8000
JOBS = $(shell $(PYTHON) -c 'import os; print(min(8, 2 * (os.cpu_count() or 1)))')
ARGS :=
TORCH_INDEX :=

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check install

.PHONY: help serve test audit clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

serve: $(VENV)/.serve ## Start the service on http://127.0.0.1:8000 (HOST, PORT and ARGS change it)
	@exec $(VENV)/bin/quietwire serve --host $(HOST) --port $(PORT) $(ARGS)

test: $(VENV)/.test ## Check style, formatting and types, then run all tests
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest --numprocesses $(JOBS) --dist worksteal

audit: $(VENV)/.serve ## Look for known vulnerabilities in what the service needs; asks PyPI over the network
	@$(PIP) --quiet 'pip-audit>=2.9,<3'
	$(RUN) -m pip_audit --strict --progress-spinner off .

clean: ## Remove .venv, build output and caches
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that .venv holds what pyproject.toml asked for at that time.
$(VENV)/.serve: $(RUN) pyproject.toml
	@echo "Installing Quietwire into $(VENV)"
	@$(PIP) --editable .
	@touch $@

# pesq, which only the tests and the offline work need, is compiled on the spot: this needs a C compiler.
$(VENV)/.test: $(RUN) pyproject.toml
	@echo "Installing Quietwire, torch and the test tools into $(VENV); this takes a few minutes"
	@$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev]'
	@touch $@ $(VENV)/.serve

$(RUN):
	@command -v $(PYTHON) >/dev/null || \
	  { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name one, as in 'make PYTHON=python3.12 serve'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: install a newer one and name it, as in 'make PYTHON=python3.12 serve'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, run 'apt install python3-venv' as root first." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
