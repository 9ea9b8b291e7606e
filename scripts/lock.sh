#!/usr/bin/env bash
# Lock the dependencies into requirements/, with hashes, for all platforms and Python versions.
#
#     scripts/lock.sh [--upgrade | --upgrade-package NAME ...]      handed to 'uv pip compile'
#
# The files name no index: whoever installs chooses one, and the hashes make sure that it serves the same bytes.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

compile() { # OUTPUT ARGUMENT...
    local output="$1"
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
        --no-emit-find-links --output-file "requirements/$output" "$@"
}

compile app.txt pyproject.toml "$@"
# The same versions as in app.txt, so that what is tested is what runs.
compile dev.txt --constraints requirements/app.txt --group dev pyproject.toml "$@"
compile install.txt --group install "$@"
