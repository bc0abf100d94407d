#!/bin/sh
# The golden folders under oclgrind: no invalid access, no data race. Not in the main run (needs oclgrind, minutes).
#     sh tests/oclgrind.sh BIN [FOLDER…]      BIN: the folder with stepcot; FOLDER: golden folders, else three small ones
# Every buffer lies by itself (--separate), so that what runs over one's end is seen. Why not --uninitialized: tests/README.md.
# SPDX-License-Identifier: Apache-2.0
set -eu
bin=$1
shift
golden=$(dirname "$0")/golden
[ $# -gt 0 ] || set -- "$golden/one_step" "$golden/masked" "$golden/odd"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for folder in "$@"; do
    XDG_CACHE_HOME=/nonexistent oclgrind --data-races "$bin/stepcot" verify --gemm tile --separate "$folder" >"$log" 2>&1 || {
        cat "$log"
        exit 1
    }
    if grep -qE "Kernel:|Invalid|race|OCLGRIND" "$log"; then
        cat "$log"
        exit 1
    fi
    echo "ok   $folder"
done
