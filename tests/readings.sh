#!/bin/sh
# The JSON of a reading against its JSON Schema, as the program prints both: readings of every kind (tool_readings), what
# `infer --json` says of real and of broken files. The store's are checked in integration.sh. SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
stepcot=$BIN/stepcot
images=$ROOT/tests/data/dicom
cd "$WORK"
mkdir made
check "the program prints its schema" sh -c "'$stepcot' config schema reading >reading.schema.json"
check "…as it is in config/" cmp reading.schema.json "$ROOT/config/reading.schema.json"
for name in stepcot steps training nih-rules; do
    check "…and $name.xsd" sh -c "'$stepcot' config schema $name | cmp - '$ROOT/config/$name.xsd'"
done
"$stepcot" config schema readin >out 2>err && fail "a mistyped schema" || equal "a mistyped schema: exit status 2" $? 2
has "…gets the nearest" err "did you mean reading"
check "readings of every kind" "$BIN/tool_readings" made
check "…satisfy the schema, and no broken one does" python3 "$ROOT/tests/check_readings.py" reading.schema.json made/*.json

echo "no image" >text.dcm
head -c 5000 "$(ls "$images"/gdcm*.dcm | head -n 1)" >cut.dcm
"$stepcot" infer --json "$images"/*.dcm text.dcm cut.dcm >infer.json 2>err </dev/null || true
equal "infer --json answers for every file" "$(wc -l <infer.json)" $(($(ls "$images"/*.dcm | wc -l) + 2))
for state in partial refused; do has "…some are $state" infer.json "\"state\":\"$state\""; done
check "…all satisfy the schema" python3 "$ROOT/tests/check_readings.py" reading.schema.json infer.json
finish
