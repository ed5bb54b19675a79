# make run: the default experiment; make test: lint, types and tests; make test-faults: kills and full disks, at length;
# make bench: speed; make setup: only the installation.
# Every target works from any directory (make -f PATH/Makefile run) and does only what is missing.
ROOT := $(shell cd "$$(dirname '$(strip $(MAKEFILE_LIST))')" && pwd)

.PHONY: run test test-faults setup bench

run: setup
	@cd "$(ROOT)" && .venv/bin/python -m capacity.run

setup:
	@"$(ROOT)/scripts/setup"

test:
	@"$(ROOT)/scripts/setup" test
	@cd "$(ROOT)" && .venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && OMP_NUM_THREADS=1 .venv/bin/pytest -n auto

test-faults:
	@"$(ROOT)/scripts/setup" test
	@cd "$(ROOT)" && .venv/bin/pytest -m faults

bench:
	@"$(ROOT)/scripts/setup" test
	@cd "$(ROOT)" && for part in generator training cost; do .venv/bin/python benchmarks/$$part.py || exit; echo; done
