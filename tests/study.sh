#!/bin/sh
# One report per study, from a modality's C-STORE to a PACS that is storescp: two images and a refused one, a late one, a
# re-reading by request, kills in between, and a PACS that takes no Secondary Capture. SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
PORT=$(free_port)
image=$(ls "$ROOT"/tests/data/dicom/siim*.dcm | head -n 1)
mkdir "$WORK/in"
# as_image NUMBER VIEW: another image of the same study
as_image() { cp "$image" "$WORK/in/$1.dcm" && chmod u+w "$WORK/in/$1.dcm" && dcmodify -q -nb -gin -i "(0020,0013)=$1" -i "(0018,5101)=$2" "$WORK/in/$1.dcm" 2>/dev/null; }
as_image 1 PA && as_image 2 AP && as_image 3 LL && as_image 4 PA
send() { dcmsend -q -aec STEPCOT 127.0.0.1 "$PORT" "$@"; }

# a PACS of a profile of its own: it knows reports (and echo) and nothing else
cat >"$WORK/pacs.cfg" <<CFG
[[TransferSyntaxes]]
[All]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Reports]
PresentationContext1 = 1.2.840.10008.5.1.4.1.1.88.22\\All
PresentationContext2 = 1.2.840.10008.5.1.4.1.1.88.34\\All
PresentationContext3 = 1.2.840.10008.1.1\\All
[[Profiles]]
[Default]
PresentationContexts = Reports
CFG
mkdir "$WORK/pacs"
PACS_PORT=$(free_port)
storescp --fork -xf "$WORK/pacs.cfg" Default -od "$WORK/pacs" "$PACS_PORT" >"$WORK/pacs.log" 2>&1 & PACS=$!
wait_until 20 echoscu 127.0.0.1 "$PACS_PORT"
SEND='capture="true"'
node_config "$WORK/node.xml" "$PACS_PORT" "" '<log level="info"/>'
sed -i 's|settle-s="0"|settle-s="3"|; s|  <send |  <report per="study"/>\n  <send |' "$WORK/node.xml"
check "config check accepts per=\"study\"" "$BIN/stepcot" config check "$WORK/node.xml"
start_node "$WORK/node.xml"

check "three images of a study are taken" send "$WORK/in/1.dcm" "$WORK/in/2.dcm" "$WORK/in/3.dcm"
arrived() { at_least "$1" "$WORK/pacs"; }
check "their reports arrive" wait_until 120 arrived 2
quiet() { "$BIN/stepcot" queue list --config "$WORK/node.xml" --json >"$WORK/queue.json" && ! grep -Eq '"state":"(received|reading|waiting|sending)"' "$WORK/queue.json"; }
check "and nothing waits" wait_until 60 quiet
equal "one of each kind" "$(reports "$WORK/pacs")" 2
check "the PACS's refusal of captures is told" logged 'event=send.unwanted .*kind=capture'
equal "…once" "$(grep -c 'event=send.unwanted' "$WORK/node.log")" 1
study() { "$BIN/stepcot" queue list --config "$WORK/node.xml" --json | grep '"images":' | tail -n 1 | grep -o '"id":"[0-9a-f]*"' | cut -d '"' -f 4; }
check_reports() { # every report: lint beside its images, and the validators
    for report in "$WORK"/pacs/SR*; do
        "$BIN/stepcot" lint "$report" "$WORK"/in/*.dcm >"$WORK/lint" 2>&1 && pass "lint accepts $1" || fail "lint $1: $(head -n 2 "$WORK/lint")"
        dciodvfy -new "$report" >"$WORK/vfy" 2>&1 && ! grep -q '^Error' "$WORK/vfy" && pass "dciodvfy accepts $1" || fail "dciodvfy $1: $(grep -m 2 Error "$WORK/vfy")"
    done
}
check_reports "the study's reports"
for report in "$WORK"/pacs/SR*; do dsrdump +Pl "$report" 2>/dev/null; done >"$WORK/text"
has "each image is named" "$WORK/text" 'Image 1 \(PA, .*instance 1\)'
has "…also the second" "$WORK/text" 'Image 2 \(AP, .*instance 2\)'
has "the refused one with its reason" "$WORK/text" 'Image 3 \(LL, .*instance 3\): not analysed: '
first=$(study)

check "a late image is taken" send "$WORK/in/4.dcm"
check "and makes two more reports" wait_until 120 arrived 4
with_predecessor() { for report in "$WORK"/pacs/SR*; do dcmdump "$report" 2>/dev/null | grep -q PredecessorDocumentsSequence && echo "$report"; done | wc -l; }
equal "which name the former" "$(with_predecessor)" 2
wait_until 60 quiet
second=$(study)
[ "$first" != "$second" ] && pass "a job of its own" || fail "the same job $first"

# read again, killed in between: the same model gives the same objects, so the PACS has no more than before
check "queue redo takes the study" "$BIN/stepcot" queue redo --config "$WORK/node.xml" "$second"
kill_node
start_node "$WORK/node.xml"
again() { [ "$("$BIN/stepcot" queue list --config "$WORK/node.xml" --json | grep -c '"images":')" -ge 3 ] && quiet; }
check "the study is read again" wait_until 240 again
equal "by the same model: the same objects" "$(reports "$WORK/pacs")" 4
check_reports "the reports in the end"
check "SIGTERM ends the node with exit status 0" stop_node
leaked=$(sed 's/1\.2\.840\.10008\.[0-9.]*//g' "$WORK/node.log" | grep -ciE 'patient|1\.2\.[0-9.]{20}' || true) # a refused class is named
equal "no patient data and no UID in the log" "$leaked" 0

# without Step-CoT's node: the same by infer
"$BIN/stepcot" infer --per study --capture -o "$WORK/out" "$WORK"/in/*.dcm >/dev/null 2>"$WORK/err" </dev/null || true
equal "infer writes one report of each kind for the study" "$(ls "$WORK/out" | grep -c '[.]study[.].*dcm$')" 2
equal "and a picture of each image that was read" "$(ls "$WORK/out" | grep -c '[.]capture[.]dcm$')" 3
has "and counts the files" "$WORK/err" '5 files written'
check "lint accepts them" "$BIN/stepcot" lint "$WORK"/out/*.dcm "$WORK"/in/*.dcm
finish
