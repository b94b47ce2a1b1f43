# The two commands: `make study` and `make test`. Both set up .venv first; only Python 3.11 or newer and make are needed.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
RUN := $(VENV)/bin/python
CONSTRAINTS := -c constraints.txt

.PHONY: study test test-fast test-all check docs site clean help

help:
	@echo "make study      train, measure and compare all ten networks on generated scenes; ends with runs/quick/report.html"
	@echo "make test       lint, types and tests"
	@echo "make test-fast  only the tests that are not slow: a minute on two cores"
	@echo "make test-all   lint, types and all tests, also those that are too long for make test"
	@echo "make check      lint and types only"
	@echo "make docs       write the generated pages of docs/"
	@echo "make site       build the documentation as a web site, in site/"
	@echo "make clean      remove the virtual environment and caches"

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "segattn needs Python 3.11 or newer; make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(RUN) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[dev,timm,export,demo]'
	@touch $@

study: $(VENV)/.core
	$(VENV)/bin/segattn study quick

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

test: PYTEST_OPTIONS :=
test-all: PYTEST_OPTIONS := -m "not optin"
test test-all: check
	@command -v chromium chromium-browser google-chrome chrome >/dev/null || \
		echo "No Chromium here: the explorer's browser test is skipped. To run it: apt-get install chromium"
	@command -v sinfo >/dev/null || echo "No Slurm here: tests of --engine slurm are skipped. To run them, as root on Debian:" \
		"apt-get install slurmd slurmctld slurm-client munge && bash tests/one_node_slurm.sh"
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

test-fast: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

docs: $(VENV)/.core
	$(RUN) -m docs.make

$(VENV)/.docs: $(VENV)/.core
	$(RUN) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[docs]'
	@touch $@

site: $(VENV)/.docs
	$(RUN) -m sphinx --quiet --fail-on-warning --keep-going -c docs/site docs site
	@echo "Open site/index.html"

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
