#!/bin/sh
# Every image of a folder through a real association: chest radiographs get a reading, anything else "not analysed".
#   formats.sh BUILD/bin [FOLDER]    FOLDER: tests/data/dicom (default); file names with "hip" or RG2 are hips.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
images=${2:-$ROOT/tests/data/dicom}
PORT=$(free_port)
start_pacs "$WORK/pacs"
node_config "$WORK/node.xml" "$PACS_PORT"
start_node "$WORK/node.xml"
# the newest reading report: readings are Enhanced SR, measurements Comprehensive 3D SR
reading() {
    for sr in $(ls -t "$WORK"/pacs/SR*); do
        if dcmdump +P 0008,0016 "$sr" | grep -q "=EnhancedSR"; then echo "$sr"; return; fi
    done
}
readings() { for sr in "$WORK"/pacs/SR*; do dcmdump +P 0008,0016 "$sr"; done 2>/dev/null | grep -c "=EnhancedSR"; }
read_so_many() { [ "$(readings)" -ge "$1" ]; }
n=0
for image in "$images"/*.dcm; do
    copy_as_new "$image" "$WORK/as-new.dcm"
    name=$(basename "$image")
    raw "$WORK/as-new.dcm" >"$WORK/out"
    has "$name is taken" "$WORK/out" "store 0x0000"
    n=$((n + 1))
    check "$name is answered" wait_until 90 read_so_many $n
    report=$(reading)
    dsrdump +Pl "$report" >"$WORK/text" 2>"$WORK/err" || fail "dsrdump $name: $(cat "$WORK/err")"
    dciodvfy -new "$report" >"$WORK/vfy" 2>&1 || fail "dciodvfy $name: $(grep -m 3 Error "$WORK/vfy")"
    dsr2html "$report" "$WORK/page.html" 2>/dev/null || fail "dsr2html $name"
    case $name in
    RG2* | *hip*) has "$name: not analysed, for its body part" "$WORK/text" "body part HIP" ;;
    *)
        has "$name: the first step is answered" "$WORK/text" "Abnormal radiodensity"
        if grep -q "ot analysed:" "$WORK/text"; then fail "$name was not analysed"; grep -m 2 "ot analysed" "$WORK/text"; else pass "$name is read"; fi ;;
    esac
done
check "SIGTERM ends the node with exit status 0" stop_node
finish
