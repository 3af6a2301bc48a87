# `make quickstart` runs everything on a small dataset, `make check` checks a change in minutes,
# `make test` everything that takes no more than minutes.
PYTHON ?= python3
VENV := .venv

.PHONY: quickstart check test style clean

quickstart: $(VENV)/installed
	$(VENV)/bin/python -m skt_tf.main --flagfile=flags/quickstart.flags

# What answers in minutes: style, the order of the rooms, the unit tests.
check: style
	$(VENV)/bin/python -m pytest tests/unit

test: style
	$(VENV)/bin/python -m pytest

style: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

# The stamps are newer than the requirements they were made from.
$(VENV)/installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/installed-test: $(VENV)/installed tests/requirements.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

# Runs stay: they are hours of work.
clean:
	rm -rf $(VENV)
