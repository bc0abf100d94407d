#!/bin/sh
# Installs what is missing, builds, and runs every test of the main run: first the unit tests under AddressSanitizer and
# UndefinedBehaviorSanitizer, then everything. `packaging/test.sh -R name` passes its arguments on to the last ctest.
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
. packaging/packages.sh
need_sys
# shellcheck disable=SC2086 # lists of words
install_packages $packages_build $packages_test

say "Building with sanitizers (build/asan)"
cmake --preset asan >build-asan.log 2>&1 || { cat build-asan.log; exit 1; }
rm -f build-asan.log
cmake --build --preset asan -j "$(jobs)"
say "Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer"
ctest --preset asan -j 2 -L unit

say "Building (build/dev)"
cmake --preset dev >build-dev.log 2>&1 || { cat build-dev.log; exit 1; }
rm -f build-dev.log
cmake --build --preset dev -j "$(jobs)"
say "All tests"
ctest --preset dev -j 2 "$@"
