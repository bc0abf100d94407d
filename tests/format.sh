#!/bin/sh
# clang-format agrees with every C and C++ file (hand-laid headers say "clang-format off").   SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
find config opencl engine dicom plugin tests -name '*.[ch]' -o -name '*.cc' | sort | xargs clang-format --dry-run -Werror
echo "format agrees"
