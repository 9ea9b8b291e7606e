#!/usr/bin/env bash
# Make a virtual environment from a hashed lock file, unless it is there already.
#
#     scripts/environment.sh VENV LOCK      paths count from the checkout
#
# It needs Python 3.11 or newer ($PYTHON is tried first) and a network. pip installs uv from its own lock file and
# checks its hashes; uv checks all the others, those of the build backend too. A broken installation is made anew.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
install_lock="requirements/install.txt"

say() { printf 'reelstore: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Print the path of a Python that is new enough and can make virtual environments.
find_python() {
    local candidate version unable=""
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python; do
        version="$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
        unable="${unable:-$version}"
    done
    if [ -n "$unable" ]; then
        fail "Python $unable cannot make virtual environments: install the system package python$unable-venv"
    fi
    fail "there is no Python 3.11 or newer: install one (on Debian 12 and later: python3 and python3-venv)"
}

# What an environment is made from. The copy inside it is written last, as the proof that its installation ended;
# comparing the two takes no hash program, which some systems lack. The path is part of it: environments cannot move.
recipe() { # FILE...
    printf '# %s\n' "$root"
    cat -- "$@"
}

is_made_from() { # VENV FILE...
    local venv="$1"
    shift
    [ -x "$venv/bin/python" ] && recipe "$@" | cmp -s - "$venv/recipe.txt"
}

make_tools() { # PYTHON VENV
    "$1" -m venv --clear "$2"
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$install_lock"
    recipe "$install_lock" >"$2/recipe.txt"
}

make_environment() { # VENV LOCK
    local venv="$1" lock="$2" tools=".cache/install-venv" python
    python="$(find_python)"
    say "installing into $venv with $python (once; needs a network)"
    set -o errtrace
    trap 'say "the installation into $venv failed: the lines above say why"' ERR
    is_made_from "$tools" "$install_lock" || make_tools "$python" "$tools"
    # uv does not read pip's settings; whoever has told pip of another index means it for all of this.
    if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"; fi
    # The cache may lie on another file system, where uv would warn about each hard link that it cannot make.
    export UV_LINK_MODE="${UV_LINK_MODE:-copy}" UV_PYTHON_DOWNLOADS=never
    "$tools/bin/uv" venv --quiet --clear --python "$python" "$venv"
    "$tools/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes "$lock"
    "$tools/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable . \
        --build-constraints "$install_lock" --require-build-hashes --preview-features build-dependency-hashes
    recipe "$lock" pyproject.toml >"$venv/recipe.txt"
}

[ $# -eq 2 ] || fail "usage: scripts/environment.sh VENV LOCK"
cd -- "$root"
is_made_from "$1" "$2" pyproject.toml && exit
mkdir -p .cache
# Two installations at once would delete each other's work. Without flock (macOS) that is the caller's care.
exec 9>.cache/install.lock
if command -v flock >/dev/null; then flock 9; fi
is_made_from "$1" "$2" pyproject.toml && exit
make_environment "$1" "$2"
