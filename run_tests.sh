#!/usr/bin/env bash
# Install what the tests need, check the code and run every test. CI runs exactly this.
set -uo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")" || exit 1

usage() {
    cat <<END
Usage: ./run_tests.sh [PYTEST-ARGUMENT...]

Without arguments: linters, types, import contracts, then all tests on two processes. With arguments: only pytest,
with these, for example './run_tests.sh tests/unit -k ring'. The exit code is 0 only if everything passed.

The tests run in .cache/test-venv, which the first run makes (that takes a network). PYTHON names the interpreter
to try first.
END
}

failed=()

step() { # NAME COMMAND...
    local name="$1"
    shift
    printf '== %s\n' "$name"
    "$@" || failed+=("$name")
}

case "${1:-}" in -h | --help) usage && exit ;; esac

printf '== install\n'
scripts/environment.sh .cache/test-venv requirements/dev.txt || exit 1
# First on the path, so that tests which start `reelstore` start this one.
export PATH="$PWD/.cache/test-venv/bin:$PATH"

if [ $# -gt 0 ]; then exec pytest "$@"; fi

step "ruff check" ruff check --quiet
step "ruff format" ruff format --quiet --check
step "mypy" mypy --no-error-summary
step "lint-imports" lint-imports --no-cache --no-logo
step "shellcheck" shellcheck run_app.sh run_tests.sh .ci/run scripts/*.sh
step "hadolint" hadolint Dockerfile
if [ ${#failed[@]} -gt 0 ]; then printf '== failed so far: %s\n' "${failed[*]}"; fi

# Last, so that pytest's summary is the last line. Tests marked xdist_group share a process.
printf '== pytest\n'
pytest -n 2 --dist loadgroup
status=$?
if [ "$status" -eq 0 ] && [ ${#failed[@]} -gt 0 ]; then status=1; fi
exit "$status"
