# Two commands matter: `make demo` and `make test`. Both create the environment when it is missing.

comma   := ,
VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
EXTRAS  ?= dev
STAMP   := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
# One thread per library call: the work is spread over processes, and more threads would fight for the same cores.
export OMP_NUM_THREADS ?= 1
# Every process of a run imports torch; without cached bytecode each compiles it anew, for half a minute.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo test test-slow bench check format install install-gpu clean

demo: $(STAMP)
	@ufvideo run plans/demo.yaml

test: $(STAMP)
	@pytest

test-slow: $(STAMP)
	@pytest -m slow --timeout 7200

bench: $(STAMP)
	@for name in scoring frames generation masks probing preparation; do python -m benchmarks.$$name --write; done

check: $(STAMP)
	@ruff check .
	@ruff format --check .
	@mypy
	@pytest tests/test_layers.py

format: $(STAMP)
	@ruff check --fix .
	@ruff format .

install: $(STAMP)

# flash-attn compiles against the torch that is already there, so it comes second and without build isolation.
install-gpu: $(STAMP)
	@uv pip install -q --python $(BIN)/python -c constraints.txt --no-build-isolation -e '.[$(EXTRAS),gpu]'

# uv installs in a fifth of pip's time; where it cannot reach an index that pip is configured for, pip does it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "This project needs Python 3.11; $(PYTHON) is another. Run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "Creating the environment in $(VENV) (about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	@UV_FIND_LINKS="$$PIP_FIND_LINKS" $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]' 2>$(VENV)/install.log || \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

clean:
	@rm -rf runs $(VENV) *.egg-info
