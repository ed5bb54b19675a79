# make run: the default experiment; make test: lint, types and tests; make lint: style, types, imports, Markdown, sizes;
# make test-faults: kills and full disks, at length; make bench: speed; make results: the tables and figures of README
# and docs, from results/; make setup: only the installation.
# Every target works from any directory (make -f PATH/Makefile run) and does only what is missing.
ROOT := $(shell cd "$$(dirname '$(strip $(MAKEFILE_LIST))')" && pwd)

.PHONY: run lint test test-faults setup setup-test bench results

run: setup
	@cd "$(ROOT)" && .venv/bin/python -m capacity.run

setup:
	@"$(ROOT)/scripts/setup"

setup-test:
	@"$(ROOT)/scripts/setup" test

lint: setup-test
	@cd "$(ROOT)" && .venv/bin/ruff check . && .venv/bin/ruff format --check . && \
	.venv/bin/clang-format --dry-run --Werror train/native/*.h train/native/*.cpp scripts/amx/*.cpp && .venv/bin/mypy && \
	.venv/bin/lint-imports --no-logo && .venv/bin/python -m scripts.lint_markdown && .venv/bin/python -m scripts.lint_tree

test: lint
	@cd "$(ROOT)" && OMP_NUM_THREADS=1 .venv/bin/pytest -n auto --dist loadgroup

test-faults: setup-test
	@cd "$(ROOT)" && .venv/bin/pytest -m faults

bench: setup-test
	@cd "$(ROOT)" && for part in generator training cost; do .venv/bin/python benchmarks/$$part.py || exit; echo; done

results: setup-test
	@cd "$(ROOT)" && .venv/bin/python -m capacity.results
