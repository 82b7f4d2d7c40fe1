# Needs Python 3.11 with pip and venv. Everything else is installed into .venv from the hash-pinned files in requirements/.
PYTHON ?= python3
VENV := .venv
KPI := $(VENV)/bin/kpi
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DO_NOT_TRACK := 1

DATA ?= data/story
CONFIG ?=
OUT ?= out
AS_OF ?=

.PHONY: build test lint format setup clean help

help:
	@echo "make build [DATA=dir CONFIG=dir OUT=dir AS_OF=time]   set up and run the main job (the story's data by default)"
	@echo "make test                                            set up and run every test"
	@echo "make lint | make format                              sqlfluff and ruff: report | mend"

build: $(VENV)/.run
	@if [ "$(DATA)" = data/story ] && [ ! -e data/story/truth.json ]; then $(KPI) story --to data/story; fi
	@$(KPI) run --data "$(DATA)" --out "$(OUT)" $(if $(CONFIG),--config "$(CONFIG)") $(if $(AS_OF),--as-of "$(AS_OF)")

test: $(VENV)/.dev
	@scripts/test

lint: $(VENV)/.dev
	@scripts/lint

format: $(VENV)/.dev
	@scripts/lint fix

setup: $(VENV)/.dev

$(VENV)/.run: requirements/run.txt pyproject.toml
	@scripts/setup run

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	@scripts/setup dev

clean:
	rm -rf target logs out data
