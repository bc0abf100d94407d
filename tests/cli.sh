#!/bin/sh
# The command line as a person uses it: help, exit codes, faults of usage, configuration, files in and reports out.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/node.sh"
images=$ROOT/tests/data/dicom
stepcot=$BIN/stepcot
cd "$WORK"
# exits NAME CODE COMMAND...: runs it, output in out and err
exits() {
    name=$1 want=$2; shift 2
    rc=0; "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || rc=$?
    equal "$name: exit status $want" "$rc" "$want"
    [ "$rc" = "$want" ] || tail -n 5 "$WORK/err"
}

# ---- help and usage ----
exits "--version" 0 "$stepcot" --version
has "…says what it is not" out "Not a medical device"
exits "--help" 0 "$stepcot" --help
exits "no command" 2 "$stepcot"
for command in serve infer queue devices config model bench verify data; do
    grep -q "  $command " out 2>/dev/null || "$stepcot" --help | grep -q "^  $command " && pass "--help names $command" || fail "--help lacks $command"
    exits "$command --help" 0 "$stepcot" "$command" --help
    has "…begins with the usage" out "^Usage: stepcot $command"
    has "…gives examples" out "^Examples?:"
    has "…and exit codes" out "Exit codes:"
    exits "$command with an unknown option" 2 "$stepcot" "$command" --no-such-thing
    has "…named" err "no-such-thing"
    grep -q "stepcot $command" "$ROOT/packaging/man/stepcot.1" && pass "the manual has $command" || fail "the manual lacks $command"
done
exits "a mistyped command" 2 "$stepcot" infre
has "…gets the nearest" err "did you mean infer"
exits "a mistyped option" 2 "$stepcot" infer --jsno x
has "…gets the nearest" err "did you mean --json"
exits "a number out of range" 2 "$stepcot" infer --batch 0 x
exits "an option without its value" 2 "$stepcot" infer x --model
exits "a folder as --model" 2 "$stepcot" infer --model ./some-package x
has "…is sent to --package" err "student, teacher or both; a package folder is given by --package"
exits "a second reader that the package lacks" 4 "$stepcot" infer --model both "$images/absent.dcm"
has "…says so, and what to do" err "the package has no teacher.*--teacher FILE"
exits "output that cannot be written" 5 sh -c "'$stepcot' config default >/dev/full"

# ---- configuration ----
exits "config default" 0 "$stepcot" config default
cp out default.xml
exits "…passes its own check" 0 "$stepcot" config check default.xml
exits "config print" 0 "$stepcot" config print default.xml
cp out printed.xml
exits "…passes the check" 0 "$stepcot" config check printed.xml
"$stepcot" config print printed.xml >again.xml
check "…and prints to itself" cmp printed.xml again.xml
sed -i 's/port="11112"/port="x" colour="red"/' default.xml
exits "two problems" 3 "$stepcot" config check default.xml
equal "…are two lines" "$(wc -l <out)" 2
has "…with file, line and rule" out '^default\.xml:[0-9]+: port="x".*from 0 to 65535'
missing=$(sed -n 's/.*<xs:attribute name="\([^"]*\)".*/\1/p' "$ROOT/config/stepcot.xsd" | sort -u |
    while read -r a; do grep -q "^\.B $(echo "$a" | sed 's/-/\\\\-/g')\$" "$ROOT/packaging/man/stepcot.xml.5" || echo "$a"; done)
equal "attributes that the manual does not have" "$missing" ""

# ---- devices, model ----
exits "devices" 0 "$stepcot" devices
exits "no OpenCL driver" 4 env OCL_ICD_VENDORS=/nonexistent "$stepcot" devices
has "…says what to install" err "pocl-opencl-icd"
exits "devices --json" 0 "$stepcot" devices --json
has "…one object a line" out '^\{"platform":".*"usable":(true|false).*\}$'
exits "model show" 0 "$stepcot" model show
has "…says what it is not" out "not a medical device"
exits "model show of nothing" 4 "$stepcot" model show "$WORK/absent"

# ---- verify ----
exits "verify" 0 "$stepcot" verify
equal "…compares four outputs" "$(grep -cE '^(image_features|prompt_features|teacher_logits|student_logits) +[0-9]+  [0-9.]+e-' out)" 4
has "…and says so" out "^All within 0.0001"
exits "verify with a bound below float32" 1 "$stepcot" verify --bound 1e-12
has "…marks what is above" out "TOO LARGE"
exits "verify --json" 0 "$stepcot" verify --json
has "…is one object" out '^\{"schema":"urn:stepcot:verify:1".*"within":true\}$'
exits "verify --train" 0 "$stepcot" verify --train "$ROOT/tests/golden/tiny"
has "…shows each loss beside the oracle's" out '^1 +11\.75[0-9]+ \(11\.758213\)'
exits "verify --train without a folder" 2 "$stepcot" verify --train
exits "verify --train without projections" 4 "$stepcot" verify --train "$ROOT/tests/golden/odd"
exits "verify of nothing" 4 "$stepcot" verify "$WORK/absent"
has "…names the file" err "absent/expected.json"
exits "a bound that is no number" 2 "$stepcot" verify --bound 1e-4x
exits "a bound that passes everything" 2 "$stepcot" verify --bound inf

# ---- infer ----
set -- "$images"/*.dcm
exits "a chest radiograph" 0 "$stepcot" infer "$(ls "$images"/gdcm*.dcm | head -n 1)"
equal "…gives seven rows" "$(grep -cE '^  +[1-7]  ' out)" 7
exits "as JSON" 0 "$stepcot" infer --json "$(ls "$images"/gdcm*.dcm | head -n 1)"
equal "…on one line" "$(wc -l <out)" 1
has "…of the named schema" out '^\{"schema":"urn:stepcot:reading:1"'
mkdir -p in/deeper in/.hidden
for image; do cp "$image" in/deeper/; done
cp "$1" in/.hidden/hidden.dcm
echo "not an image" >in/notes.txt
ln -s "$1" in/link.dcm
deep=in/deep; for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do deep=$deep/d; done; mkdir -p $deep
"$stepcot" infer -o reports in >out 2>err </dev/null || true
equal "a folder gives a report per image, hidden entries and links left out" "$(ls reports | grep -c "[.]sr[.]dcm$")" $#
has "…one too deep is named" err "in/deep/.*nested deeper"
has "…and says what it skipped" err "1 other file skipped"
"$stepcot" infer -o pictures --capture "$1" >out 2>err </dev/null || true
equal "--capture writes a picture of the reading too" "$(ls pictures | grep -c "[.]capture[.]dcm$")" 1
has "…and counts the files" err "$(ls pictures | wc -l) files written"
exits "…which lint accepts" 0 "$stepcot" lint pictures/*.dcm "$1"
exits "…and needs to know where" 2 "$stepcot" infer --capture "$1"
chest=$(ls "$images"/gdcm*.dcm | head -n 1)
for steps in 1,2,3,4,5,6,7 2,4; do "$stepcot" infer -o "drawn-$steps" --capture-steps $steps "$chest" >out 2>err </dev/null || true; done
"$stepcot" infer -o drawn --capture "$chest" >out 2>err </dev/null || true
# the same pixels give the same UID; on this image the first step has a region
pixels_of() { dcmdump +P SOPInstanceUID "$1"/*.capture.dcm; }
equal "--capture-steps of all steps draws what --capture draws" "$(pixels_of drawn-1,2,3,4,5,6,7)" "$(pixels_of drawn)"
[ "$(pixels_of drawn-2,4)" != "$(pixels_of drawn)" ] && pass "…and of some steps another picture" || fail "…of some steps the same picture"
exits "…that lint accepts" 0 "$stepcot" lint drawn-2,4/*.dcm "$chest"
exits "…of steps that exist" 2 "$stepcot" infer -o drawn --capture-steps 1,8 "$1"
has "…said with their numbers" err "steps from 1 to 7"
for list in 0 1, ,1 1,,2 "1 2" x 1-3 001; do
    exits "…and are numbers with commas between, not '$list'" 2 "$stepcot" infer -o drawn --capture-steps "$list" "$1"
done
exits "…and needs to know where as well" 2 "$stepcot" infer --capture-steps 1 "$1"
exits "explain writes a page" 0 "$stepcot" explain "$1" -o page.html
has "…with image and maps in it" page.html "data:image/png;base64,"
exits "…and needs an image and a page" 2 "$stepcot" explain "$1"
exits "…with another reader that the package lacks" 4 "$stepcot" explain "$1" -o none.html --model teacher
has "…says so, and what to do" err "the package has no teacher.*--teacher FILE"
exits "…with a reader that is none" 2 "$stepcot" explain "$1" -o none.html --model expert
has "…names the three" err "student, teacher or both"
exits "lint finds nothing in them" 0 "$stepcot" lint reports/*.dcm
some=$(ls reports/*.sr.dcm | head -n 1)
head -c 4000 "$some" >cut.dcm
exits "lint of a report cut off" 1 "$stepcot" lint "$some" cut.dcm
equal "…is one finding, about that file" "$(grep -c '^cut\.dcm: R20 at file: .*\. .*' out) $(wc -l <out)" "1 1"
head -c 4000 /dev/urandom >rubbish.dcm
exits "lint of rubbish" 1 "$stepcot" lint rubbish.dcm
has "…says that it is no DICOM file" out "^rubbish\.dcm: R20 at file: .*DICM"
: >empty.dcm
exits "lint of an empty file" 1 "$stepcot" lint empty.dcm
exits "lint of a file that is not there" 5 "$stepcot" lint absent.dcm
has "…names it" err "absent\.dcm"
exits "lint of a folder" 1 "$stepcot" lint reports
has "…says what it is" out "not a regular file"
exits "lint of nothing but an image" 1 "$stepcot" lint "$1"
has "…says so" err "no Structured Report"
exits "lint without files" 2 "$stepcot" lint
for report in reports/*.dcm; do
    dciodvfy -new "$report" >vfy 2>&1 && pass "dciodvfy accepts $(basename "$report")" || fail "dciodvfy $report: $(grep -m 3 Error vfy)"
    dsrdump "$report" >text 2>/dev/null || fail "dsrdump $report"
done
refused=0
for image; do
    case $(basename "$image") in RG2* | *hip*) refused=$image ;; esac
done
if [ "$refused" != 0 ]; then
    exits "a hip" 1 "$stepcot" infer -o hip "$refused"
    has "…with the reason" out "Not analysed: body part HIP"
    dsrdump hip/*.sr.dcm >text 2>/dev/null
    has "…also in its report" text "[Nn]ot analysed"
    exits "explain refuses it" 1 "$stepcot" explain "$refused" -o hip.html
    exits "…and reads it with --force" 0 "$stepcot" explain --force "$refused" -o hip.html
    has "…whose page says that it should not have been" hip.html "Read by force, although body part HIP"
    exits "--force reads it" 0 "$stepcot" infer --force -o forced "$refused"
    has "…and says that it should not have been" out "Read by force, although body part HIP"
    dsrdump +Pl forced/*.sr.dcm >text 2>/dev/null
    has "…also in the report" text "Read by force, although body part HIP"
    check "…which gives no coded impression" sh -c '! grep -q "CODE:(.*\"Impression\")" text'
    has "…but a reason why there is none" text 'TEXT:\(.*"Impression"\)="not given: '
    dcmdump +P 0008,103e forced/*.sr.dcm >text
    has "…in a series of its own name" text "forced on an image outside its scope"
    dciodvfy -new forced/*.sr.dcm >text 2>&1 || true
    check "…valid for dciodvfy" sh -c '! grep -q "^Error" text'
    exits "--force as JSON" 0 "$stepcot" infer --force --json "$refused"
    has "…names the gate" out '"forced":[{]"id":"body-part"'
    has "…and how the image became grey" out '"rendering":"[a-zA-Z]'
fi
head -c 3000 "$1" >cut.dcm
exits "a truncated file" 1 "$stepcot" infer -o cut cut.dcm
has "…gets JSON, because it did not pass the guard" err "did not pass the guard"
exits "an absent file among others" 1 "$stepcot" infer absent.dcm "$1"
has "…is named" err "absent\.dcm: No such file"
exits "a text file" 1 "$stepcot" infer in/notes.txt
has "…is refused with the reason" out "Not analysed: .*no.* DICOM"
exits "an empty folder" 1 sh -c "mkdir empty && '$stepcot' infer empty"
exits "a device that is not there" 4 "$stepcot" infer --device no-such-device "$(ls "$images"/gdcm*.dcm | head -n 1)"
has "…with those that are" err "there are: "
printf '\211PNG\r\n\032\nrubbish' >bad.png
exits "a damaged PNG" 1 "$stepcot" infer -o reports bad.png
has "…is refused with the reason" out "Not analysed: .*PNG"
has "…and no report, because there is no patient" err "no patient or study"
check "…but JSON" grep -q '"state":"refused"' reports/bad.json
name=$(printf 'a\033[31mb.dcm'); cp "$1" "in/$name"
"$stepcot" infer -o strange "in/$name" >out 2>err </dev/null || true
if grep -q "$(printf '\033')" out err; then fail "a file name writes to the terminal"; else pass "control characters in a file name are not printed"; fi
equal "nor do they get into a file name" "$(ls strange | tr '\n' ' ')" "reading.measurements.dcm reading.sr.dcm "

# ---- two readers: the tiny golden models as a package, their weights random ----
golden=$ROOT/tests/golden/tiny
mkdir source clip
cp "$golden/student.safetensors" source/weights.safetensors
cp "$golden/clip.safetensors" clip/model.safetensors
printf '{"vision_config": {"num_attention_heads": 4}}' >clip/config.json
printf '{"supervised_steps": [1,2,3,4,5,6], "teacher": {"supervised_steps": [1,2,3,4,5,7]}}' >source/summary.json
exits "model import with a teacher" 0 "$stepcot" model import source -o tiny --clip clip --teacher "$golden/teacher.safetensors"
has "…shows it" out "^Teacher  *source, teacher; feature 20, graph of 2 layers, 4 heads"
has "…and that its prompts are random" out "Prompts  *fixed random unit vectors"
exits "a BERT of another width" 4 "$stepcot" model import source -o wide --clip clip --teacher "$golden/teacher.safetensors" \
    --bert "$ROOT/tests/golden/transformers/bert"
has "…is refused with both widths" err "24 values, the teacher's nodes 20"
exits "a BERT without a teacher" 2 "$stepcot" model import source -o alone --clip clip --bert "$ROOT/tests/golden/transformers/bert"
has "…says what is missing" err "there is no teacher: name its file with --teacher"
chest=$(ls "$images"/gdcm*.dcm | head -n 1)
exits "two readers" 0 "$stepcot" infer --package tiny --model both -o second "$chest"
has "…marks a disagreement in the table" out "^!  [1-7]  "
has "…in words" out "ATTENTION, they disagree: second reader \\(teacher\\):"
has "…and counts them in the summary" out "The two readers disagree on [1-5] of the 5 steps"
has "…answers of the second reader where the first has none" out "second reader \\(teacher\\): [A-Z]"
dsrdump +Pl second/*.sr.dcm >text 2>/dev/null
has "…the report says it in a step" text 'TEXT:.*"Attention".*the second reader .teacher. answers'
has "…and in the summary" text 'TEXT:.*"Attention".*the two readers disagree on [1-5] of the 5 steps'
has "…with who the second reader is" text "second reader's training: .*fixed random unit vectors"
dciodvfy -new second/*.sr.dcm >text 2>&1 || true
check "…valid for dciodvfy" sh -c '! grep -q "^Error" text'
exits "two readers as JSON" 0 "$stepcot" infer --package tiny --model both --json "$chest"
has "…has both" out '"disagreement":true.*"second_reader":[{]"name":"source, teacher"'
exits "the teacher alone" 0 "$stepcot" infer --package tiny --model teacher --json "$chest"
has "…is the reader" out '"reader":[{]"name":"source, teacher".*"role":"teacher"'
"$stepcot" config default | sed 's/<reader reader="student"/<reader package="tiny" reader="both"/' >two.xml
exits "a node with two readers" 0 "$stepcot" config check two.xml
"$stepcot" serve --check --config two.xml >out 2>&1 || true
has "…reads with both in its self-check" out "model .*source, version 1; reads: both"
has "…which passes" out "self-check .*one picture read"
sed 's/package="tiny"//' two.xml >one.xml
exits "a node without the teacher it is to read with" 4 "$stepcot" serve --check --config one.xml
has "…says so" out "the package has no teacher"
finish
