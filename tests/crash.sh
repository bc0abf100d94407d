#!/bin/sh
# Kill -9 at ten random moments while 50 studies stream in; the node is started again each time. In the end the PACS has
# exactly two reports of each image, the reading and its measurements.   CRASH_SEED repeats a run.   SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
seed=${CRASH_SEED:-$(date +%s)}
echo "CRASH_SEED=$seed"
random() { seed=$(((seed * 1103515245 + 12345) % 2147483648)); R=$((seed / 65536 % $1)); } # R: 0 … $1 - 1
STUDIES=50 KILLS=10 REPORTS=100
PORT=$(free_port)
start_pacs "$WORK/pacs"
node_config "$WORK/node.xml" "$PACS_PORT"
mkdir "$WORK/in"
image=$(ls "$ROOT"/tests/data/dicom/siim*.dcm | head -n 1)
i=0
while [ $i -lt $STUDIES ]; do i=$((i + 1)); copy_as_new "$image" "$WORK/in/$i.dcm"; done
equal "$STUDIES different studies to send" "$(ls "$WORK/in" | wc -l)" $STUDIES
start_node "$WORK/node.xml"

stream() { # a modality: sends each image until it is taken
    for file in "$WORK"/in/*.dcm; do
        sleep 0.3 # so that the kills fall into the stream
        until dcmsend -q -to 5 -ta 20 -td 20 -aec STEPCOT 127.0.0.1 "$PORT" "$file" >/dev/null 2>&1; do sleep 0.2; done
    done
    echo done >"$WORK/streamed"
}
stream & streamer=$!
kills=0 during=0
while [ $kills -lt $KILLS ]; do
    random 1500; sleep "$((R / 1000)).$((R % 1000 + 1000))" # 0.1 to 1.2 s, three digits behind a leading one
    kills=$((kills + 1))
    [ -e "$WORK/streamed" ] || during=$((during + 1))
    if [ $((kills % 2)) = 0 ]; then kill_supervisor; else kill_node; fi
    # the next start must find neither a held lock nor a held port, at once
    setsid "$BIN/stepcot" serve --config "$WORK/node.xml" 2>>"$WORK/node.log" & NODE=$!
done
equal "all kills fell while studies streamed in" $during $KILLS
check "all studies were taken" wait_until 240 test -e "$WORK/streamed"
wait $streamer || true
check "the node still stands after $KILLS kills" node_alive
all_reports() { [ "$(reports "$WORK/pacs")" -ge $REPORTS ]; }
check "the PACS has $REPORTS reports" wait_until 240 all_reports
settled() { "$BIN/stepcot" queue list --config "$WORK/node.xml" --json >"$WORK/queue.json" && [ "$(grep -o '"delivered"' "$WORK/queue.json" | wc -l)" = $REPORTS ]; }
check "the queue says delivered $REPORTS times" wait_until 60 settled
equal "and not one more" "$(reports "$WORK/pacs")" $REPORTS
for report in "$WORK"/pacs/SR*; do
    dcmdump +P ReferencedSOPInstanceUID "$report" 2>/dev/null | sed -E 's/.*\[(.*)\].*/\1/' | sort -u
done | sort | uniq -c | sort -rn >"$WORK/sources"
equal "each image has one report of each kind" "$(wc -l <"$WORK/sources") $(awk '$1 != 2' "$WORK/sources" | wc -l)" "$STUDIES 0"
check "SIGTERM ends the node with exit status 0" stop_node
finish
