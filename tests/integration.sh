#!/bin/sh
# A real PACS at the far end: Orthanc as destination, storescu and dcmsend as sources, over loopback with free ports.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
images=$ROOT/tests/data/dicom

http=$(free_port) dimse=$(free_port) PORT=$(free_port)
mkdir "$WORK/orthanc"
cat >"$WORK/orthanc.json" <<JSON
{ "Name": "PACS", "StorageDirectory": "$WORK/orthanc", "IndexDirectory": "$WORK/orthanc", "HttpPort": $http, "DicomPort": $dimse,
  "DicomAet": "PACS", "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "DicomAlwaysAllowEcho": true,
  "DicomAlwaysAllowStore": true, "DicomCheckCalledAet": true, "UnknownSopClassAccepted": false, "Plugins": [] }
JSON
Orthanc "$WORK/orthanc.json" >"$WORK/orthanc.log" 2>&1 & PACS=$!
rest() { curl -sf "http://127.0.0.1:$http/$1"; }
check "Orthanc is up" wait_until 60 rest system

SEND='capture="true"'
node_config "$WORK/node.xml" "$dimse"
check "config check accepts the node's configuration" "$BIN/stepcot" config check "$WORK/node.xml"
check "serve --check finds the PACS" "$BIN/stepcot" serve --check --config "$WORK/node.xml"
start_node "$WORK/node.xml"

# storescu proposes only what it is told to: the file's own transfer syntax
send_as_is() {
    case $(dcmdump +P TransferSyntaxUID "$1" 2>/dev/null) in
    *JPEGBaseline*) how=-xy ;; *JPEGExtended*) how=-xx ;; *JPEGLossless*) how=-xs ;; *JPEGLSLossless*) how=-xt ;; *JPEGLSLossy*) how=-xu ;;
    *JPEG2000LosslessOnly*) how=-xv ;; *JPEG2000*) how=-xw ;; *RLE*) how=-xr ;; *) how=-x= ;;
    esac
    storescu $how -R -aec STEPCOT 127.0.0.1 "$PORT" "$1"
}
n=0
for image in "$images"/*.dcm; do
    n=$((n + 1))
    check "the PACS takes the image $(basename "$image")" dcmsend -aec PACS 127.0.0.1 "$dimse" "$image"
    if [ $((n % 2)) = 0 ]; then check "dcmsend $(basename "$image")" dcmsend -aec STEPCOT 127.0.0.1 "$PORT" "$image"
    else check "storescu $(basename "$image")" send_as_is "$image"; fi
done
# Orthanc answers with the SR instances it holds: Enhanced SR are reading reports, Comprehensive 3D SR measurement reports
sr_of() { curl -sf "http://127.0.0.1:$http/tools/find" -d "{\"Level\":\"Instance\",\"Query\":{\"Modality\":\"SR\",\"SOPClassUID\":\"1.2.840.10008.5.1.4.1.1.$1\"},\"Expand\":false}" | grep -c '"' || true; }
sr_count() { sr_of 88.22; }
sr_all() { [ "$(sr_count)" -ge "$n" ]; }
check "a report for each of $n images is in Orthanc" wait_until 120 sr_all
posted() { grep -o "\"report\":\"$1\",\"state\":\"$2" "$WORK/queue.json" | wc -l; }
delivered() { "$BIN/stepcot" queue list --config "$WORK/node.xml" --json >"$WORK/queue.json" && [ "$(posted reading delivered)" = "$n" ] && [ "$(posted measurement delivered)" = "$(posted measurement '')" ] && [ "$(posted capture delivered)" = "$(posted capture '')" ]; }
check "the queue says delivered for each" wait_until 60 delivered
sed -n 's/^.*"id":"\([0-9a-f]*\)".*/\1/p' "$WORK/queue.json" >"$WORK/jobs"
while read -r id; do "$BIN/stepcot" queue show "$id" --config "$WORK/node.xml" --json; done <"$WORK/jobs" >"$WORK/shown.json"
equal "the store keeps each reading" "$(grep -c '"urn:stepcot:reading:1"' "$WORK/shown.json")" "$n"
check "as its JSON Schema has it" python3 "$ROOT/tests/check_readings.py" "$ROOT/config/reading.schema.json" "$WORK/shown.json" --member reading
measured=$(posted measurement delivered)
read_images=$(grep -c 'event=read .*state=\(partial\|complete\)' "$WORK/node.log")
equal "a measurement report was sent of each image that was read" "$measured" "$read_images"
[ "$measured" -ge 1 ] && pass "at least one image was read" || fail "no image was read"
equal "and is in Orthanc as Comprehensive 3D SR" "$(sr_of 88.34)" "$measured"
captures() { curl -sf "http://127.0.0.1:$http/tools/find" -d '{"Level":"Instance","Query":{"SeriesDescription":"AI chest X-ray reading as a picture, not verified"},"Expand":false}' | grep -c '"' || true; }
equal "and a picture of each of them, in a series of its own" "$(captures)" "$measured"
equal "which the queue says too" "$(posted capture delivered)" "$measured"
equal "the fallback classes were not needed" "$(sr_of 88.11) $(sr_of 88.33)" "0 0"
for id in $(curl -sf "http://127.0.0.1:$http/tools/find" -d '{"Level":"Instance","Query":{"Modality":"SR"},"Expand":false}' | tr -d '[]," '); do
    rest "instances/$id/file" >"$WORK/$id.dcm"
    if dsrdump +Pl "$WORK/$id.dcm" >"$WORK/$id.txt" 2>"$WORK/$id.err"; then pass "dsrdump reads a report back from Orthanc"; else fail "dsrdump: $(cat "$WORK/$id.err")"; fi
    rest "instances/$id/patient" >/dev/null || fail "Orthanc files the report under no patient"
    dciodvfy -new "$WORK/$id.dcm" >"$WORK/$id.vfy" 2>&1 && pass "dciodvfy accepts it" || fail "dciodvfy: $(grep -m 3 Error "$WORK/$id.vfy")"
    has "it says that it is not a medical device" "$WORK/$id.txt" "[Nn]ot a medical device"
done
# each report lies in the study of its image: as many studies as before the node answered
studies=$(rest studies | grep -c '"')
images_in=$(curl -sf "http://127.0.0.1:$http/tools/find" -d '{"Level":"Study","Query":{"ModalitiesInStudy":"SR"},"Expand":false}' | grep -c '"' || true)
equal "reports lie in the studies of their images" "$images_in" "$studies"
# the same images once more: success, and no second report
for image in "$images"/*.dcm; do dcmsend -aec STEPCOT 127.0.0.1 "$PORT" "$image" || fail "sending $image again"; done
check "re-sent images are recognised" wait_until 20 logged 'event=object.duplicate'
equal "and give no second report" "$(sr_count)" "$n"
# changed bytes under the same SOP Instance UID: a new reading that names its predecessor
first=$(ls "$images"/gdcm*.dcm | head -n 1)
cp "$first" "$WORK/changed.dcm" && chmod u+w "$WORK/changed.dcm"
dcmodify -q -nb -i "(0008,103e)=CHEST PA repeated" "$WORK/changed.dcm"
check "a changed image is taken" dcmsend -aec STEPCOT 127.0.0.1 "$PORT" "$WORK/changed.dcm"
more() { [ "$(sr_count)" -gt "$n" ] && [ "$(sr_of 88.34)" -gt "$measured" ]; }
check "and read anew" wait_until 60 more
found=0
for id in $(curl -sf "http://127.0.0.1:$http/tools/find" -d '{"Level":"Instance","Query":{"Modality":"SR"},"Expand":false}' | tr -d '[]," '); do
    rest "instances/$id/file" >"$WORK/x.dcm"; dcmdump "$WORK/x.dcm" 2>/dev/null | grep -q PredecessorDocumentsSequence && found=$((found + 1))
done
equal "with two reports that name their predecessors, each that of its kind" "$found" 2
# unplug the PACS, send, plug it in again
kill "$PACS"; wait "$PACS" 2>/dev/null || true
copy_as_new "$first" "$WORK/unplugged.dcm"
check "an image is taken while the PACS is away" dcmsend -aec STEPCOT 127.0.0.1 "$PORT" "$WORK/unplugged.dcm"
check "its report waits" wait_until 60 logged 'event=send\.again'
Orthanc "$WORK/orthanc.json" >>"$WORK/orthanc.log" 2>&1 & PACS=$!
wait_until 60 rest system
n=$((n + 1)) measured=$((measured + 1))
check "and is delivered when the PACS is back" wait_until 60 more
check "SIGTERM ends the node with exit status 0" stop_node
leaked=$(grep -ciE 'patient|1\.2\.[0-9.]{20}' "$WORK/node.log" || true)
equal "no patient data and no UID in the log" "$leaked" 0
finish
