#!/bin/sh
# validators.sh BIN [PYTHON]: writes a report of every kind (tool_reports) and has every validator on this machine look at it.
# Main run (Debian packages dcmtk, dicom3tools): dciodvfy, dsrdump, dsr2html, dcentvfy, stepcot lint.
# With PYTHON also the extras, where installed: PixelMed's DicomSRValidator (libpixelmed-java), pydicom, highdicom in PYTHON.
# Exit status 1 when one of them objects. SPDX-License-Identifier: Apache-2.0
set -u
[ $# -ge 1 ] || { echo "usage: validators.sh BIN [PYTHON]" >&2; exit 2; }
BIN=$(cd "$1" && pwd) PYTHON=${2:-}
WORK=$(mktemp -d /tmp/stepcot-validators.XXXXXX)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); printf 'FAIL %s\n' "$1"; }
# DCMTK 3.6.7 says of every UTF-8 file that its VR checker does not know the character set
complaints() { grep -E '^[WE]:' "$1" | grep -v -e 'VR checker' -e '^W: DcmSpecificCharacterSet'; }

# image_of REPORT: the image it is about
image_of() {
    case $1 in
    *-normal*) echo "$WORK/image-normal.dcm" ;;
    *-hospital*) echo "$WORK/image-hospital.dcm" ;;
    *-partial*) echo "$WORK/image-2.dcm" ;;
    *) echo "$WORK/image-1.dcm" ;;
    esac
}
# same_entities IMAGE REPORT: patient and study are the same. dcentvfy compares bytes and knows no character sets: of the image
# that is not in UTF-8 the two texts are left to pydicom below and to test_report_origin.
same_entities() {
    case $2 in *-hospital*) texts='<PatientName>|<StudyDescription>' ;; *) texts='^$' ;; esac
    dcentvfy "$1" "$2" >"$WORK/log" 2>&1 || [ "$texts" != '^$' ] || echo "Error - exit status" >>"$WORK/log"
    grep 'Error' "$WORK/log" | grep -Ev "$texts" >"$WORK/objections"
    [ ! -s "$WORK/objections" ] && pass || fail "dcentvfy $(basename "$2" .dcm): $(head -n 2 "$WORK/objections")"
}

"$BIN/tool_reports" "$WORK" || { echo "tool_reports failed" >&2; exit 1; }
for report in "$WORK"/reading-*.dcm "$WORK"/measurement-*.dcm; do
    name=$(basename "$report" .dcm)
    dciodvfy -new "$report" >"$WORK/log" 2>&1 && ! grep -q '^Error' "$WORK/log" && pass ||
        fail "dciodvfy $name: $(grep -m 2 '^Error' "$WORK/log")"
    dsrdump "$report" >"$WORK/log" 2>&1 && [ -z "$(complaints "$WORK/log")" ] && pass ||
        fail "dsrdump $name: $(complaints "$WORK/log" | head -n 2)"
    dsr2html "$report" "$WORK/page.html" >"$WORK/log" 2>&1 && [ -z "$(complaints "$WORK/log")" ] && pass ||
        fail "dsr2html $name: $(complaints "$WORK/log" | head -n 2)"
    image=$(image_of "$name")
    same_entities "$image" "$report"
    "$BIN/stepcot" lint "$report" "$image" >"$WORK/log" 2>&1 && pass || fail "lint $name: $(head -n 2 "$WORK/log")"
done

for capture in "$WORK"/capture-*.dcm; do
    name=$(basename "$capture" .dcm)
    dciodvfy -new "$capture" >"$WORK/log" 2>&1 && ! grep -q '^Error' "$WORK/log" && pass ||
        fail "dciodvfy $name: $(grep -m 2 '^Error' "$WORK/log")"
    image=$(image_of "$name")
    same_entities "$image" "$capture"
    "$BIN/stepcot" lint "$capture" "$image" >"$WORK/log" 2>&1 && pass || fail "lint $name: $(head -n 2 "$WORK/log")"
done

if [ -z "$PYTHON" ]; then
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
fi
# PixelMed's tables are of 2022: two value sets of 2024c it does not know; our own items are "not in template".
if command -v java >/dev/null && [ -e /usr/share/java/pixelmed.jar ]; then
    for report in "$WORK"/measurement-*.dcm; do
        java -Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0 \
            -cp '/usr/share/java/*' com.pixelmed.validate.DicomSRValidator "$report" >"$WORK/log" 2>&1
        grep -i -e illegal -e '^Error' "$WORK/log" | grep -v -e '(121058,DCM' -e '(123014,DCM' >"$WORK/objections"
        [ -s "$WORK/log" ] && [ ! -s "$WORK/objections" ] && pass ||
            fail "PixelMed $(basename "$report"): $(head -n 2 "$WORK/objections")"
    done
else
    echo "PixelMed is not here (libpixelmed-java)"
fi
if "$PYTHON" -c 'import pydicom' 2>/dev/null; then
    for report in "$WORK"/reading-*.dcm "$WORK"/measurement-*.dcm "$WORK"/capture-*.dcm; do
        "$PYTHON" -W error -c 'import sys, pydicom
def count(items): return sum(1 + count(i.get("ContentSequence", [])) for i in items)
report, image = pydicom.dcmread(sys.argv[1]), pydicom.dcmread(sys.argv[2])
if report.Modality == "SR": assert count(report.ContentSequence) > 10
else: assert report.pixel_array.shape == (report.Rows, report.Columns, 3)
for key in "PatientName", "PatientID", "AccessionNumber", "StudyDescription", "StudyInstanceUID":
    assert image.get(key) == report.get(key), key
for part in "alphabetic", "ideographic", "phonetic":
    assert getattr(image.PatientName, part) == getattr(report.PatientName, part), part' \
            "$report" "$(image_of "$(basename "$report")")" >"$WORK/log" 2>&1 && pass ||
            fail "pydicom $(basename "$report"): $(tail -n 1 "$WORK/log")"
    done
else
    echo "pydicom is not here"
fi
# highdicom opens no file with by-reference items (0.28: "not an SR Content Item"): the by-value ones only.
if "$PYTHON" -c 'import highdicom' 2>/dev/null; then
    for report in "$WORK"/measurement-*-[23]d.dcm; do
        "$PYTHON" -c 'import sys, highdicom
sr = highdicom.sr.srread(sys.argv[1])
assert len(sr.content.get_planar_roi_measurement_groups()) > 0' "$report" >"$WORK/log" 2>&1 && pass ||
            fail "highdicom $(basename "$report"): $(tail -n 1 "$WORK/log")"
    done
else
    echo "highdicom is not here"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
