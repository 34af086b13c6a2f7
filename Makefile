# Two commands matter: `make demo` and `make test`. Both create the environment when it is missing.
# A target with a line behind ## is in the help; `make` alone prints it.

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

.PHONY: help demo toy-weights test test-slow test-sam2 bench docs check format install install-gpu clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "All but help and clean create the environment in $(VENV) when it is missing."

demo: $(STAMP)  ## run every step on small demo videos: five to ten minutes on two cores
	@ufvideo run plans/demo.yaml

# The files are in the repository, with their digests.
toy-weights: $(STAMP)  ## train again what plans/demo.yaml starts from: 25 minutes on one core
	@python -m training.toy_weights toy_weights

# Two processes: half of the suite waits for servers and clusters. Ray's tests share one process and one cluster.
test: $(STAMP)  ## run the tests that CI runs
	@pytest -n 2 --dist loadgroup

test-slow: $(STAMP)  ## run the long tests: killed and resumed runs, whole pages of the docs
	@pytest -m slow --timeout 7200

test-sam2: $(STAMP) $(SAM2)/.installed  ## compare SAM 2 with its own package
	@pytest -m slow tests/training/model/test_sam2_package.py

bench: $(STAMP)  ## measure again what docs/benchmarks/ shows
	@for name in scoring frames masks probing preparation generation model_step objects regions packing status rescoring; do python -m benchmarks.$$name --write; done

docs: $(STAMP)  ## build the site of the docs into build/site; a dead link is an error
	@NO_MKDOCS_2_WARNING=1 mkdocs build --quiet
	@echo "Next: python -m http.server --directory build/site 8000, then open http://127.0.0.1:8000"

check: $(STAMP)  ## check style, types and layers
	@ruff check .
	@ruff format --check .
	@mypy
	@pytest tests/test_layers.py

format: $(STAMP)  ## format the code with ruff
	@ruff check --fix .
	@ruff format .

install: $(STAMP)  ## create the environment
	@echo "Ready. Next: . $(BIN)/activate && ufvideo check plans/demo.yaml"

# flash-attn compiles against the torch that is already there, so it comes second and without build isolation.
install-gpu: $(STAMP)  ## add flash-attn, on a machine with an NVIDIA GPU
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

clean:  ## delete runs/, the environment and what was built
	@rm -rf runs $(SAM2) $(VENV) *.egg-info
