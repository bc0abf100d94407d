#!/bin/sh
# Installs what is missing, builds, and runs every test of the main run: everything once, then the unit tests under
# AddressSanitizer and UndefinedBehaviorSanitizer (last, because they find the kernels compiled: the sanitizer slows PoCL's
# compiler tenfold). `packaging/test.sh -R name` passes its arguments on to both runs.   SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
. packaging/packages.sh
need_sys
# shellcheck disable=SC2086 # lists of words
install_packages $packages_build $packages_test

# configure PRESET
configure() {
    mkdir -p build
    cmake --preset "$1" >"build/$1.log" 2>&1 || { cat "build/$1.log"; exit 1; }
}

say "Building (build/dev)"
configure dev
cmake --build --preset dev -j "$(jobs)"
say "All tests"
ctest --preset dev -j 2 "$@"

say "Building with sanitizers (build/asan)"
configure asan
cmake --build --preset asan -j "$(jobs)"
say "Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer"
ctest --preset asan -j 2 -L unit "$@"
