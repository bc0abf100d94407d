#!/bin/sh
# The main job, shown once: installs what is missing, builds, starts a node and a loopback PACS, sends three real chest
# X-rays by C-STORE, waits for six Structured Reports in the PACS (a reading and its measurements of each image) and prints
# them as text. Leaves nothing running.
# DEMO_KEEP=DIR keeps the received reports there.   SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
. packaging/packages.sh
need_sys
begin=$(date +%s)
# shellcheck disable=SC2086 # lists of words
install_packages $packages_build $packages_demo

say "Building (build/demo)"
log=$(mktemp)
cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=Release -DCOT_TESTS=OFF >"$log" 2>&1 || { cat "$log"; exit 1; }
rm -f "$log"
cmake --build build/demo -j "$(jobs)" --target stepcot
stepcot=$PWD/build/demo/bin/stepcot
images=$PWD/tests/data/dicom

work=$(mktemp -d "${TMPDIR:-/tmp}/stepcot-demo.XXXXXX")
node= pacs=
finish() {
    rc=$?
    for pid in $node $pacs; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    [ $rc = 0 ] || { echo "The demo failed; the node's last lines:" >&2; tail -n 20 "$work/node.log" >&2 2>/dev/null || true; }
    rm -rf "$work"
    exit $rc
}
trap finish EXIT
trap 'exit 130' INT TERM

say "Starting a loopback PACS (storescp) and the node"
mkdir "$work/pacs"
pacs_port= port=$((20000 + $$ % 20000))
while [ -z "$pacs_port" ]; do # the first port that storescp can bind
    storescp --fork -od "$work/pacs" "$port" >"$work/pacs.log" 2>&1 & pacs=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.1
        kill -0 $pacs 2>/dev/null || break
        echoscu 127.0.0.1 "$port" >/dev/null 2>&1 && { pacs_port=$port; break; }
    done
    [ -n "$pacs_port" ] || port=$((port + 1))
    [ "$port" -lt 60000 ] || { echo "no free port for the demo's PACS" >&2; exit 5; }
done
cat >"$work/stepcot.xml" <<XML
<node xmlns="urn:cot:node:1">
  <listen ae="STEPCOT" bind="127.0.0.1" port="0"/>
  <accept ae="*" host="127.0.0.1"/>
  <store path="$work/store" settle-s="0"/>
  <send to="pacs" host="127.0.0.1" port="$pacs_port" ae="PACS"/>
</node>
XML
"$stepcot" serve --config "$work/stepcot.xml" 2>"$work/node.log" & node=$!
node_port=
for _ in $(seq 600); do
    node_port=$(sed -n 's/.*event=listen .*port=\([0-9]*\).*/\1/p' "$work/node.log" | head -n 1)
    [ -n "$node_port" ] && break
    kill -0 $node || exit 1
    sleep 0.1
done
echo "node: STEPCOT at 127.0.0.1:$node_port, PACS at 127.0.0.1:$pacs_port"

say "Sending three chest X-rays"
for image in "$images"/RG1*.dcm "$images"/gdcm*.dcm "$images"/siim*.dcm; do
    echo "$(basename "$image"): $(dcmdump -q +P Modality +P TransferSyntaxUID +P Rows +P Columns "$image" 2>/dev/null |
        sed -E 's/^\([0-9a-f,]*\) ..  *\[?=?([^]#]*[^] #])\]? *#.*/\1/' | tr '\n' ' ')"
    dcmsend -aet DEMO -aec STEPCOT 127.0.0.1 "$node_port" "$image"
done

say "Waiting for the reports"
for _ in $(seq 1200); do
    [ "$(find "$work/pacs" -name 'SR*' | wc -l)" -ge 6 ] && break
    kill -0 $node || exit 1
    sleep 0.1
done
n=0
for report in "$work"/pacs/SR*; do
    [ -e "$report" ] || break
    n=$((n + 1))
    say "Report $n as the PACS has it"
    dsrdump +Pl "$report" 2>/dev/null
    [ -z "${DEMO_KEEP-}" ] || cp "$report" "$DEMO_KEEP/"
done
[ "$n" -ge 6 ] || { echo "only $n of 6 reports arrived: a reading and its measurements of each image" >&2; exit 1; }
"$stepcot" queue list --config "$work/stepcot.xml"
say "Three images in, $n reports out, $(($(date +%s) - begin)) s in all. Not a medical device: a demonstration model read these images."
