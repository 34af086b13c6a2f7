# Two commands matter: `make demo` and `make test`. Both create the environment when it is missing.

comma   := ,
VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
EXTRAS  ?= dev
STAMP   := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
SAM2    := build/sam2-package
# One thread per library call: the work is spread over processes, and more threads would fight for the same cores.
export OMP_NUM_THREADS ?= 1
# Every process of a run imports torch; without cached bytecode each compiles it anew, for half a minute.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo toy-weights test test-slow test-sam2 bench check format install install-gpu clean

demo: $(STAMP)
	@ufvideo run plans/demo.yaml

# What plans/demo.yaml starts from; the files are in the repository, with their digests. 10 minutes on one core.
toy-weights: $(STAMP)
	@python -m training.toy_weights toy_weights

# Two processes: half of the suite waits for servers and clusters. Ray's tests share one process and one cluster.
test: $(STAMP)
	@pytest -n 2 --dist loadgroup

test-slow: $(STAMP)
	@pytest -m slow --timeout 7200

test-sam2: $(STAMP) $(SAM2)/.installed
	@pytest -m slow tests/training/model/test_sam2_package.py

bench: $(STAMP)
	@for name in scoring frames masks probing preparation generation model_step objects regions packing status rescoring; do python -m benchmarks.$$name --write; done

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

# The package, and what it reads its configuration with, without their dependencies, in a folder that no environment
# knows; the second package called `training` that it brings goes at once.
$(SAM2)/.installed: | $(STAMP)
	@rm -rf $(SAM2)
	@SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation \
	  --target $(SAM2) sam2==1.1.0 hydra-core==1.3.2 omegaconf==2.3.0 antlr4-python3-runtime==4.9.3 iopath==0.1.10 portalocker==4.4.2
	@rm -rf $(SAM2)/training
	@touch $@

clean:
	@rm -rf runs $(SAM2) $(VENV) *.egg-info
