#!/bin/sh
# What hostile or broken peers, files and folders do to a running node: each case with its message; the node stays up in all.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
images=$ROOT/tests/data/dicom
plain=$(ls "$images"/gdcm*.dcm | head -n 1)
PORT=$(free_port)
start_pacs "$WORK/pacs"
stepcot="$BIN/stepcot"

# ---- before the node runs: configuration and models ----
node_config "$WORK/node.xml" "$PACS_PORT"
sed 's/<store /<store colour="red" /' "$WORK/node.xml" >"$WORK/unknown.xml"
rc=0; "$stepcot" config check "$WORK/unknown.xml" >"$WORK/out" 2>&1 || rc=$?
equal "an unknown attribute: exit status 3" $rc 3
has "…named with file, line and attribute" "$WORK/out" "unknown\.xml:[0-9]+: .*colour"
rc=0; "$stepcot" serve --config "$WORK/unknown.xml" >"$WORK/out" 2>&1 || rc=$?
equal "serve refuses it too" $rc 3
printf '<?xml version="1.0"?><!DOCTYPE node [<!ENTITY a "b">]><node xmlns="urn:cot:node:1">&a;</node>' >"$WORK/entity.xml"
rc=0; "$stepcot" config check "$WORK/entity.xml" >"$WORK/out" 2>&1 || rc=$?
equal "a DOCTYPE: exit status 3" $rc 3
READER="package=\"$WORK/no-such-model\"" node_config "$WORK/nomodel.xml" "$PACS_PORT"
rc=0; "$stepcot" serve --check --config "$WORK/nomodel.xml" >"$WORK/out" 2>&1 || rc=$?
equal "a missing model: exit status 4" $rc 4
has "…named" "$WORK/out" "no-such-model"
cp -r "$ROOT/engine/default" "$WORK/model"
"$stepcot" model show "$WORK/model" >"$WORK/out" 2>&1 && pass "the untouched package opens" || fail "model show: $(cat "$WORK/out")"
# the same length, other shape: one digit of a shape in the safetensors header
LC_ALL=C sed -i '1s/\("student.img_proj.1.bias":{"dtype":"F[0-9]*","shape":\)\[512\]/\1[256]/' "$WORK/model/weights.safetensors"
rc=0; "$stepcot" model show "$WORK/model" >"$WORK/out" 2>&1 || rc=$?
equal "weights with a wrong shape: exit status 4" $rc 4
has "…said in words" "$WORK/out" "(student\.img_proj|shape|sha256|digest|header)"
rc=0; "$stepcot" infer --no-such-option >"$WORK/out" 2>&1 || rc=$?
equal "an unknown option: exit status 2" $rc 2
has "…named" "$WORK/out" "no-such-option"
rc=0; "$stepcot" infer "$WORK/absent.dcm" >"$WORK/out" 2>&1 || rc=$?
check "an absent file is an error" [ $rc -ne 0 ]
has "…named" "$WORK/out" "absent\.dcm"

# ---- while it runs ----
start_node "$WORK/node.xml"
alive() { check "$1: the node stays up" node_alive >/dev/null; }
raw "$plain" --cut 100000 >"$WORK/out"; has "a truncated data set is refused" "$WORK/out" "store 0xC[0-9A-F]{3} .+"; alive truncated
raw "$plain" --nest 100000 >"$WORK/out"; has "100,000 nested sequences are refused" "$WORK/out" "store 0xC[0-9A-F]{3} .+"; alive nested
has "…and the log says why" "$WORK/node.log" "event=object.refused .*(nest|depth|deep)"
cp "$plain" "$WORK/rows.dcm"; chmod u+w "$WORK/rows.dcm"; dcmodify -q -nb -m Rows=4000 "$WORK/rows.dcm"
raw "$WORK/rows.dcm" >"$WORK/out"; has "Rows x Columns beyond the pixel data is refused" "$WORK/out" "store 0xC[0-9A-F]{3} .+"; alive rows
dcmconv +te "$plain" "$WORK/explicit.dcm"
raw "$WORK/explicit.dcm" --rows-ul >"$WORK/out"; has "Rows as UL is refused" "$WORK/out" "store 0xC[0-9A-F]{3} .+"; alive rows-ul
raw "$plain" --syntax 1.2.840.10008.1.2.4.100 >"$WORK/out"; has "an undecodable transfer syntax is not negotiated" "$WORK/out" "context refused"
raw "$plain" --syntax 1.2.3.4.5 >"$WORK/out"; has "an unknown transfer syntax is not negotiated" "$WORK/out" "context refused"; alive syntax
raw "$plain" --instance 1.2.3.4 >"$WORK/out"; has "another SOP instance than announced is refused" "$WORK/out" "store 0x(C|A9)[0-9A-F]+ .+"; alive instance
raw "$plain" --class 1.2.840.10008.5.1.4.1.1.2 >"$WORK/out"; has "a CT is not negotiated" "$WORK/out" "context refused"
curl -s -m 10 "http://127.0.0.1:$PORT/" >/dev/null 2>&1 || true
check "HTTP on the DICOM port is named" wait_until 15 logged 'HTTP'; alive http
curl -sk -m 10 "https://127.0.0.1:$PORT/" >/dev/null 2>&1 || true
check "TLS on the DICOM port is named" wait_until 15 logged 'TLS'; alive tls
echoscu -aec OTHER 127.0.0.1 "$PORT" >"$WORK/out" 2>&1 && fail "another called AE title is let in" || pass "another called AE title is rejected"
equal "none of that made a report" "$(reports "$WORK/pacs")" 0
equal "or left a file behind" "$(find "$WORK/store/incoming" -type f | wc -l)" 0

# what decodes badly after it was taken is answered with a report that says so
dcmdump +P SOPInstanceUID "$plain" >/dev/null
jpeg=$(ls "$images"/siim*.dcm | head -n 1)
copy_as_new "$jpeg" "$WORK/broken.dcm"
size=$(wc -c <"$WORK/broken.dcm")
dd if=/dev/zero of="$WORK/broken.dcm" bs=1 seek=$((size / 2)) count=20000 conv=notrunc 2>/dev/null
raw "$WORK/broken.dcm" >"$WORK/out"; cat "$WORK/out"; alive "damaged JPEG"
copy_as_new "$plain" "$WORK/lateral.dcm"; dcmodify -q -nb -i ViewPosition=LL "$WORK/lateral.dcm"
raw "$WORK/lateral.dcm" >"$WORK/out"; has "a lateral image is taken" "$WORK/out" "store 0x0000"
check "both are answered" wait_until 60 at_least 2 "$WORK/pacs"
for report in "$WORK"/pacs/SR*; do dsrdump +Pl "$report" 2>/dev/null; done >"$WORK/out"
has "the lateral with a report that says why it was not analysed" "$WORK/out" "[Nn]ot analysed.*(lateral|frontal)|(lateral|frontal).*[Nn]ot analysed"
has "the damaged JPEG too" "$WORK/out" "part of the picture is lost"

check "SIGTERM: exit status 0" stop_node

# ---- a model that goes away, and comes back damaged, under a running node ----
PORT=$(free_port)
cp -r "$ROOT/engine/default" "$WORK/own-model"
READER="package=\"$WORK/own-model\"" node_config "$WORK/node.xml" "$PACS_PORT"
start_node "$WORK/node.xml"
worker_pid() { sed -n 's/.*event=role.start .*name=worker[^ ]* pid=\([0-9]*\).*/\1/p' "$WORK/node.log" | tail -n 1; }
mv "$WORK/own-model" "$WORK/away"
kill -KILL "$(worker_pid)"
check "a missing model is named in the log" wait_until 30 logged "own-model"
copy_as_new "$plain" "$WORK/waiting.dcm"
raw "$WORK/waiting.dcm" >"$WORK/out"; has "images are taken meanwhile" "$WORK/out" "store 0x0000"
alive "missing model"
cp -r "$WORK/model" "$WORK/own-model" # the one with the wrong shape
check "weights with a wrong shape are named in the log" wait_until 40 logged "(img_proj|shape|sha256|digest)"
alive "wrong weights"
had=$(reports "$WORK/pacs")
rm -r "$WORK/own-model"; mv "$WORK/away" "$WORK/own-model"
check "with the model back the waiting image is answered" wait_until 60 at_least $((had + 1)) "$WORK/pacs"

# ---- an unreachable PACS ----
stop_pacs
copy_as_new "$plain" "$WORK/one.dcm"
raw "$WORK/one.dcm" >"$WORK/out"; has "with the PACS away images are still taken" "$WORK/out" "store 0x0000"
check "the sender says whom it could not reach and when it tries again" wait_until 60 logged "event=send\.again .*status=none attempt=1 .*reason=\"[^\"]*\"\$"
alive "unreachable PACS"
had=$(reports "$WORK/pacs")
start_pacs "$WORK/pacs" "$PACS_PORT"
check "and delivers when it is back" wait_until 60 at_least $((had + 1)) "$WORK/pacs"
check "SIGTERM: exit status 0" stop_node

# ---- disk ----
PORT=$(free_port)
node_config "$WORK/node.xml" "$PACS_PORT" 'watermark-mib="900000000"'
start_node "$WORK/node.xml" early
copy_as_new "$plain" "$WORK/two.dcm"
raw "$WORK/two.dcm" >"$WORK/out"; has "below the watermark: 0xA700 with the figures" "$WORK/out" "store 0xA700 .*[0-9]"; alive watermark
stop_node
mkdir "$WORK/small"
if mount -t tmpfs -o size=3m tmpfs "$WORK/small" 2>/dev/null; then
    echo "a disk of 3 MiB: tmpfs"
    PORT=$(free_port)
    node_config "$WORK/node.xml" 1 'watermark-mib="0"'
    sed -i "s#path=\"$WORK/store\"#path=\"$WORK/small/store\"#" "$WORK/node.xml"
    start_node "$WORK/node.xml" early
    full=0
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
        copy_as_new "$plain" "$WORK/fill.dcm"
        raw "$WORK/fill.dcm" >"$WORK/out"
        grep -q 'store 0xA700' "$WORK/out" && { full=1; break; }
    done
    equal "a full disk is answered with 0xA700" $full 1
    alive "full disk"
    stop_node || fail "the node did not end well on a full disk"
    umount "$WORK/small"
else
    echo "no right to mount a tmpfs here: the disk's end is a file size limit of 200 KiB instead"
    PORT=$(free_port)
    node_config "$WORK/node.xml" 1 'watermark-mib="0"'
    (ulimit -f 400; exec setsid "$stepcot" serve --config "$WORK/node.xml" 2>>"$WORK/node.log") & NODE=$!
    wait_until 60 echoscu -aec STEPCOT 127.0.0.1 "$PORT"
    copy_as_new "$plain" "$WORK/fill.dcm"
    raw "$WORK/fill.dcm" >"$WORK/out"
    has "a write beyond the file size limit is refused for good" "$WORK/out" "store 0xC000 .*larger than a file may be"
    alive "file size limit"
    stop_node || true
fi
# ---- the log of all this ----
grep -Ev '^[0-9TZ:.-]{24}( [a-z0-9_]+=("[^"]*"|[^ "]+)){4,}$' "$WORK/node.log" >"$WORK/odd" || true
check "every line of the log is key=value" test ! -s "$WORK/odd"
head -n 5 "$WORK/odd"
finish
