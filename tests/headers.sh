#!/bin/sh
# Every header compiles by itself, as C11 with -pedantic (and dicom.h, base.h, steps.h, chain.h as C++ too).
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
n=0
for header in config/*.h opencl/*.h engine/*.h plugin/*.h dicom/*.h; do
    case $header in dicom/dicom.h) ;; dicom/*) grep -q 'dcmtk/\|pango/\|<string>\|<vector>' "$header" && continue ;; esac
    printf '#include "%s"\nint main(void) { return 0; }\n' "$header" |
        cc -std=c11 -D_GNU_SOURCE -DCL_TARGET_OPENCL_VERSION=120 -pedantic -Wall -Wextra -Werror -I. -fsyntax-only -x c -
    n=$((n + 1))
done
for header in config/base.h config/steps.h config/chain.h dicom/dicom.h; do
    printf '#include "%s"\nint main() { return 0; }\n' "$header" | c++ -std=c++17 -Wall -Wextra -Werror -I. -fsyntax-only -x c++ -
done
echo "$n headers stand alone"
[ $n -ge 8 ]
