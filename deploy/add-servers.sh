#!/bin/sh
# Take the four nodes into the ring, two zones of two, in one change; does nothing when they are in it.
set -eu

set --
for number in 1 2 3 4; do
    name="node$number"
    reelstore server show "$name" >/dev/null 2>&1 && continue
    if [ "$number" -le 2 ]; then zone=left; else zone=right; fi
    set -- "$@" --add "$name=http://node-$number:5100" --set "$name:zone=$zone"
done
if [ $# -eq 0 ]; then
    echo "all nodes are in the ring"
    exit 0
fi
plan=$(reelstore ring plan "$@" --json | python -c 'import json, sys; print(json.load(sys.stdin)["id"])')
reelstore ring apply "$plan" --yes
