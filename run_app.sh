#!/usr/bin/env bash
# Run Reelstore: in Docker when an engine answers, else in a local virtual environment.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
image="${REELSTORE_IMAGE:-reelstore}"
container="${REELSTORE_CONTAINER:-reelstore}"

usage() {
    cat <<END
Usage: ./run_app.sh [--local | --docker] [OPTION...] [ARGUMENT...]

Runs 'reelstore serve' on http://127.0.0.1:5000, in Docker when an engine answers, else in a local virtual
environment, and says which. The first run installs or builds what it needs; that takes a network.

  --local      use a virtual environment (.cache/app-venv) even if Docker is there
  --docker     use Docker, or fail
  --build      build the Docker image anew, for example after an update
  --port N     listen on this port of the loopback interface (5000)
  --data DIR   keep everything here (local: ./data of the checkout; Docker: the volume 'reelstore-data')
  --config F   read settings from this TOML file
  ARGUMENT...  handed to 'reelstore serve'; './run_app.sh -- --help' lists them

PYTHON names the interpreter to try first. REELSTORE_IMAGE and REELSTORE_CONTAINER (both 'reelstore') rename the
image and the container; every other REELSTORE_ variable is a setting, and is handed on.
END
}

say() { printf 'reelstore: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

absolute() { case "$1" in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }

run_local() { # ARGUMENT...
    "$root/scripts/environment.sh" .cache/app-venv requirements/app.txt
    say "running in a local virtual environment ($local_reason)"
    exec "$root/.cache/app-venv/bin/reelstore" serve ${port:+--port "$port"} --data "${data:-$root/data}" \
        ${config:+--config "$config"} "$@"
}

# Print "rootless" or "plain" if a Docker engine answers; fail otherwise.
docker_engine() {
    local security
    security="$(docker info --format '{{.SecurityOptions}}' 2>/dev/null)" || return 1
    case "$security" in *rootless*) echo rootless ;; *) echo plain ;; esac
}

run_docker() { # ENGINE ARGUMENT...
    local engine="$1" name options
    shift
    if [ -n "$build" ] || ! docker image inspect "$image" >/dev/null 2>&1; then
        say "building the image $image"
        docker build --tag "$image" "$root"
    fi
    if docker container inspect "$container" >/dev/null 2>&1; then
        fail "there is a container named $container already: 'docker rm --force $container', or set REELSTORE_CONTAINER"
    fi
    # Inside, the server listens on all addresses, or nothing could reach it; only loopback is published.
    options=(--rm --init --name "$container" --publish "127.0.0.1:${port:-5000}:5000"
        --security-opt no-new-privileges --stop-timeout 20)
    if [ -t 0 ] && [ -t 1 ]; then options+=(--interactive --tty); fi
    if [ -n "$data" ]; then
        # Made here, or the engine would make it, owned by root. Inside, the server is whoever owns it outside;
        # a rootless engine maps its root to that user.
        mkdir -p -- "$data"
        if [ "$engine" = rootless ]; then options+=(--user 0:0); else options+=(--user "$(id -u):$(id -g)"); fi
        options+=(--mount "type=bind,source=$data,target=/data")
    else
        options+=(--mount "type=volume,source=reelstore-data,target=/data")
    fi
    if [ -n "$config" ]; then
        options+=(--mount "type=bind,source=$config,target=/etc/reelstore.toml,readonly"
            --env REELSTORE_CONFIG=/etc/reelstore.toml)
    fi
    while IFS= read -r name; do
        case "$name" in
        REELSTORE_IMAGE | REELSTORE_CONTAINER | REELSTORE_CONFIG | REELSTORE_DATA | REELSTORE_HOST | REELSTORE_PORT) ;;
        REELSTORE_*) options+=(--env "$name") ;;
        esac
    done < <(compgen -e)
    say "running in Docker (image $image, container $container) on http://127.0.0.1:${port:-5000}, this machine" \
        "only; data in ${data:-the volume reelstore-data}"
    exec docker run "${options[@]}" "$image" serve --host 0.0.0.0 --port 5000 --data /data "$@"
}

mode="" build="" port="${REELSTORE_PORT:-}" data="${REELSTORE_DATA:-}" config="${REELSTORE_CONFIG:-}" rest=()
while [ $# -gt 0 ]; do
    case "$1" in
    --local | --docker) mode="${1#--}" ;;
    --build) build=yes ;;
    --port | --data | --config)
        [ $# -ge 2 ] || fail "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    --port=*) port="${1#*=}" ;;
    --data=*) data="${1#*=}" ;;
    --config=*) config="${1#*=}" ;;
    -h | --help) usage && exit ;;
    --) shift && rest+=("$@") && break ;;
    *) rest+=("$1") ;;
    esac
    shift
done
case "$port" in *[!0-9]*) fail "--port needs a number, not '$port'" ;; esac
if [ -n "$data" ]; then data="$(absolute "$data")"; fi
if [ -n "$config" ]; then config="$(absolute "$config")"; fi

local_reason="asked for by --local"
if [ "$mode" != local ]; then
    local_reason="no Docker engine answers"
    if engine="$(docker_engine)"; then run_docker "$engine" ${rest[@]+"${rest[@]}"}; fi
    [ "$mode" != docker ] || fail "no Docker engine answers"
fi
run_local ${rest[@]+"${rest[@]}"}
