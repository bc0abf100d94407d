# Sourced by the scripts that drive a whole node: a work folder, ports, start, stop, waiting for events. Everything runs on
# 127.0.0.1 and ends with the script. Needs BIN (folder of the built programs); scripts get it as their first argument.
# SPDX-License-Identifier: Apache-2.0
set -eu
BIN=${1:?usage: $0 BUILD/bin}
BIN=$(cd "$BIN" && pwd)
ROOT=$(cd "$(dirname "$0")/.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/stepcot-test.XXXXXX")
NODE='' PACS='' failures=0 checks=0
export XDG_CACHE_HOME="${STEPCOT_TEST_CACHE:-${TMPDIR:-/tmp}/stepcot-test-cache-$(id -u)}" # kernels are compiled once for all scripts

clean_up() {
    rc=$?
    trap - EXIT
    for pid in $NODE $PACS; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in $NODE $PACS; do wait "$pid" 2>/dev/null || true; done
    if [ $rc != 0 ] || [ "$failures" != 0 ]; then
        echo "--- the node's last lines:"; tail -n 40 "$WORK/node.log" 2>/dev/null || true
    fi
    rm -rf "$WORK"
    exit $rc
}
trap clean_up EXIT
trap 'exit 130' INT TERM

pass() { checks=$((checks + 1)); echo "ok   $*"; }
fail() { checks=$((checks + 1)); failures=$((failures + 1)); echo "FAIL $*"; }
# check NAME COMMAND...: the command's exit status decides
check() { what=$1; shift; if "$@"; then pass "$what"; else fail "$what"; fi; }
# has NAME FILE PATTERN: an extended regular expression must match a line
has() { if grep -Eq -- "$3" "$2"; then pass "$1"; else fail "$1: no line matches '$3' in:"; tail -n 15 "$2"; fi; }
equal() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: $2, wanted $3"; fi; }
finish() { echo "$checks checks, $failures failed"; [ "$failures" = 0 ] && [ "$checks" -gt 0 ]; }

# wait_until SECONDS COMMAND...: polls ten times a second
wait_until() {
    left=$(($1 * 10)); shift
    while ! "$@" >/dev/null 2>&1; do
        left=$((left - 1)); [ $left -gt 0 ] || return 1
        sleep 0.1
    done
}
free_port() { "$BIN/tool_port"; }
logged() { grep -Eq -- "$1" "$WORK/node.log"; }

# node_config FILE PACS_PORT [ATTRIBUTES-OF-STORE] [EXTRA XML]: a node on $PORT, settling at once
node_config() {
    cat >"$1" <<XML
<node xmlns="urn:cot:node:1">
  <listen ae="STEPCOT" bind="127.0.0.1" port="$PORT"/>
  <accept ae="*" host="127.0.0.1"/>
  <store path="$WORK/store" settle-s="0" ${3-}/>
  <reader cache="$XDG_CACHE_HOME/stepcot" ${READER-}/>
  <send to="pacs" host="127.0.0.1" port="$2" ae="PACS" retry-first-s="1" retry-max-s="2" timeout-s="10" refusals="true" ${SEND-}/>
  ${4-}
</node>
XML
}
# start_node CONFIG: returns when the node listens and its worker can read
start_node() {
    : >"$WORK/node.log.start"
    before=$(grep -c 'event=worker.ready' "$WORK/node.log" 2>/dev/null || true)
    setsid "$BIN/stepcot" serve --config "$1" 2>>"$WORK/node.log" & NODE=$!
    wait_until 60 echoscu -aec STEPCOT 127.0.0.1 "$PORT" || { fail "the node does not answer C-ECHO"; exit 1; }
    [ "${2-}" = early ] || wait_until 240 worker_ready "${before:-0}" || { fail "no worker became ready"; exit 1; }
}
worker_ready() { [ "$(grep -c 'event=worker.ready' "$WORK/node.log")" -gt "$1" ]; }
stop_node() { kill -TERM "$NODE"; rc=0; wait "$NODE" || rc=$?; NODE=''; return $rc; }
kill_node() { kill -KILL "-$NODE" 2>/dev/null || kill -KILL "$NODE" 2>/dev/null || true; wait "$NODE" 2>/dev/null || true; NODE=''; } # the whole tree
kill_supervisor() { kill -KILL "$NODE"; wait "$NODE" 2>/dev/null || true; NODE=''; }                  # its children must follow
node_alive() { kill -0 "$NODE" && echoscu -aec STEPCOT 127.0.0.1 "$PORT"; }

# start_pacs FOLDER [PORT]: storescp as a PACS
start_pacs() {
    mkdir -p "$1"
    PACS_PORT=${2:-$(free_port)}
    storescp --fork +xa -od "$1" "$PACS_PORT" >"$WORK/pacs.log" 2>&1 & PACS=$!
    wait_until 20 echoscu 127.0.0.1 "$PACS_PORT"
}
stop_pacs() { kill "$PACS"; wait "$PACS" 2>/dev/null || true; PACS=''; }
reports() { find "$1" -name 'SR*' ! -name '*.part' | wc -l; }
at_least() { [ "$(reports "$2")" -ge "$1" ]; }
# copy_as_new SOURCE TARGET: the same image as a study of its own
copy_as_new() { cp "$1" "$2" && chmod u+w "$2" && dcmodify -q -nb -gst -gse -gin "$2" 2>/dev/null; }
raw() { "$BIN/tool_rawscu" "$PORT" STEPCOT "$@"; }
