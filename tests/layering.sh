#!/bin/sh
# The arrows of the house: plugin -> dicom, engine, config; engine -> opencl; everyone -> config's vocabulary.
# Also: no DCMTK or C++ outside dicom/, unique file names, no foreign top-level entry.   SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
bad=0
complain() { bad=1; echo "$*"; }
allowed() { # FOLDER INCLUDED
    case $1:$2 in
    config:config/* | *:config/base.h | *:config/steps.h | *:config/chain.h | *:config/training.h) ;;
    opencl:opencl/* | engine:engine/* | engine:opencl/* | dicom:dicom/*) ;;
    plugin:plugin/* | plugin:dicom/* | plugin:engine/* | plugin:config/* | plugin:opencl/opencl.h) ;;
    *) return 1 ;;
    esac
}
edges=0
for room in config opencl engine dicom plugin; do
    for file in $(find $room -name '*.[ch]' -o -name '*.cc' -o -name '*.cl'); do
        for included in $(sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$file"); do
            edges=$((edges + 1))
            case $included in dcmtk/*) [ $room = dicom ] || complain "$file includes DCMTK: only dicom/ may"; continue ;; esac
            allowed $room "$included" || complain "$file includes $included: $room/ may not (see README.md, the rooms)"
        done
    done
done
# plugin may name devices and options of opencl.h (devices, serve), nothing deeper; the XML is read by plugin only
for file in $(find config opencl engine plugin -name '*.cc'); do complain "$file: C++ only in dicom/"; done
if grep -lE '\b(Dcm[A-Z]|OF(String|Condition|List)|DSR[A-Z])' dicom/dicom.h config/*.h opencl/*.h engine/*.h plugin/*.[ch]; then
    complain "the files above name DCMTK types: they stay behind dicom/dicom.h"
fi
twice=$(find config opencl engine dicom plugin tests -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cl' \) -exec basename {} \; | sort | uniq -d)
[ -z "$twice" ] || complain "file names that are not unique: $twice"
for entry in $(ls -A | grep -v '^\.' ); do
    case $entry in
    CMakeLists.txt | CMakePresets.json | README.md | CONTRIBUTING.md | CHANGELOG.md | LICENSE | plugin | engine | opencl | dicom | config | tests | packaging | build) ;;
    *) complain "$entry: not one of the folders of the house" ;;
    esac
done
[ $edges -gt 20 ] || complain "only $edges includes seen: the test looks in the wrong place"
[ $bad = 0 ] && echo "1 passed, 0 failed ($edges includes)"
exit $bad
