# Recipes for developers; `just` comes with `just setup`'s environment (.venv/bin/just), or from your system.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

# List the recipes.
default:
    @just --list --unsorted

# Make or update the developers' environment, .venv, from requirements/dev.txt.
setup:
    scripts/environment.sh .venv requirements/dev.txt

# Everything that CI checks: linters, types, import contracts, all tests.
check:
    ./run_tests.sh

# Run tests: all, or what pytest is told.
test *arguments:
    pytest -n 2 --dist loadgroup "$@"

# Format, and mend what can be mended without asking.
fmt:
    ruff check --fix-only --quiet
    ruff format

# Serve from ./data, and start again whenever the code changes.
dev *arguments:
    reelstore serve --data data --reload "$@"

# Run a whole cluster of processes: PostgreSQL, four nodes, two gateways, a worker. Ctrl-C ends it.
cluster *arguments:
    python -m tests.local_cluster "$@"

# Plant every known bug, one after the other, and print which test catches it; takes a quarter of an hour.
planted *arguments:
    python -m tests.planted "$@"

# Explore the model of the storage protocol for long; `just model --help` says how.
model *arguments:
    python -m tests.model "$@"

# Simulate whole clusters over failing servers for long; `just simulate --help` says how.
simulate *arguments:
    python -m tests.simulation "$@"

# Measure: all benchmarks, or the named ones; `just bench --help` says how, benchmarks/README.md what they mean.
bench *arguments:
    python -m benchmarks "$@"

# Write the golden files that are missing. One that exists is never written again: old formats must stay readable.
golden:
    python -m tests.unit.placement.golden

# Lock the dependencies: keeps the present versions; `just lock --upgrade` takes the newest.
lock *arguments:
    scripts/lock.sh "$@"
