# Copyright 2026 Seed f8673997 maintainers
# SPDX-License-Identifier: Apache-2.0
#
# For a machine without ROS 2: everything is installed from PyPI into .venv. With ROS 2 installed,
# use colcon itself (README.md).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
LOCK := .ci/requirements.lock
STAMP := $(VENV)/.installed
MODEL := config/models/default.safetensors
TRAIN_OPTIONS ?= --precision bf16-mixed --joint-prior-weight 0
LINTED := m2vae_ros launch test $(wildcard benchmarks) setup.py
PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10
SUITABLE := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

# colcon's folders are in build/colcon, so that the tree stays clean.
COLCON := $(BIN)/colcon --log-base build/colcon/log
COLCON_PATHS := --base-paths . --build-base build/colcon/build --install-base build/colcon/install

export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export ROS_LOG_DIR := $(CURDIR)/build/ros_log
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.PHONY: help setup demo test lint docs train clean without-ros

help:
	@echo 'make setup   install everything into .venv, pinned by $(LOCK)'
	@echo 'make demo    run robot and fusion node while sensors die: build/demo/demo.png'
	@echo 'make test    colcon build and colcon test'
	@echo 'make lint    ruff, mypy, ament_flake8, ament_pep257'
	@echo 'make docs    build the documentation as a site: build/docs/index.html'
	@echo 'make train   train the default model anew: $(MODEL)'
	@echo 'make clean   remove what the other targets made, except .venv'

setup: without-ros $(STAMP)

without-ros:
	@if [ -n "$${ROS_DISTRO:-}" ]; then \
	    echo "make: ROS 2 $$ROS_DISTRO is sourced, but this Makefile installs its own ROS 2: use" \
	        "colcon as README.md says, or a shell where none is sourced" >&2; \
	    exit 1; \
	fi

$(STAMP): $(LOCK) setup.py setup.cfg | without-ros
	@if ! $(BIN)/python -c '$(SUITABLE)' 2> /dev/null; then \
	    for candidate in $(PYTHONS); do \
	        if $$candidate -c '$(SUITABLE)' 2> /dev/null; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$${python:-}" ]; then \
	        echo 'make: needs Python 3.10, 3.11, 3.12 or 3.13, found none among: $(PYTHONS).' \
	            'Name one: make setup PYTHON=/path/to/python3' >&2; \
	        exit 1; \
	    fi; \
	    if ! $$python -c 'import ensurepip, venv' 2> /dev/null; then \
	        echo "make: $$python cannot make virtual environments:" \
	            'sudo apt install python3-venv' >&2; \
	        exit 1; \
	    fi; \
	    $$python -m venv --clear $(VENV); \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement $(LOCK)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps \
	    --no-build-isolation --use-pep517 --editable .
	touch $@

demo: setup
	$(BIN)/m2vae demo --out build/demo

test: setup
	$(COLCON) build $(COLCON_PATHS)
	@rm -f build/colcon/build/m2vae_ros/pytest.xml
	@status=0; \
	$(COLCON) test $(COLCON_PATHS) --return-code-on-test-failure \
	    --event-handlers console_direct+ || status=$$?; \
	$(COLCON) test-result --test-result-base build/colcon/build --verbose || status=$$?; \
	if [ ! -s build/colcon/build/m2vae_ros/pytest.xml ]; then \
	    echo 'make: colcon test ran no test' >&2; status=1; \
	fi; \
	exit $$status

lint: setup
	@status=0; \
	$(BIN)/ruff check --config .ci/ruff.toml . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/ament_flake8 --config .ci/flake8.ini $(LINTED) || status=1; \
	$(BIN)/ament_pep257 $(LINTED) || status=1; \
	exit $$status

# -E: a page that is not read again would not repeat its warnings.
docs: setup
	@rm -rf build/docs
	$(BIN)/python -m sphinx -n -W --keep-going --quiet -d build/doctrees -E -c docs . build/docs
	$(BIN)/python .ci/check_links.py build/docs

train: setup
	$(BIN)/m2vae train --simulated --out build/train/$(notdir $(MODEL)) $(TRAIN_OPTIONS)
	cp build/train/$(notdir $(MODEL)) $(MODEL)

clean:
	rm -rf build m2vae_ros.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
