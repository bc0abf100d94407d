#!/bin/sh
# Makes the model in the program from the images: sh tests/default_model/make.sh BIN NIH OUT
# BIN: build folder's bin; NIH: folder with Data_Entry_2017*.csv, BBox_List_2017.csv and the images; OUT: a new folder.
# OUT/package is the result: its model.json and weights.safetensors are engine/default. About half an hour on two quiet cores;
# the same seed gives the same weights on the same device. Then make the golden values anew (tests/golden/README.md).
# The test patients, (id // 5) mod 6 == 0, take no part in training, choice of the epoch or calibration. Needs python3.
# SPDX-License-Identifier: Apache-2.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$1 nih=$2 out=$3
mkdir "$out"
awk -F, 'NR > 1 && int($4 / 5) % 6 == 0 {print $4}' "$nih"/Data_Entry_2017*.csv | sort -u >"$out/test-patients.txt"
"$bin/stepcot" data import nih "$nih" --test-list "$out/test-patients.txt" -o "$out/nih.jsonl"
# The settings of this run; all others are config/training.xml's. Of the settings tried, those of the best mean AUC on the
# validation images (README.md).
# shellcheck disable=SC2046 # a list of words
"$bin/stepcot" train --stage encoder "$out/nih.jsonl" -o "$out/run" $(cat "$here/options.txt") \
    --name "Step-CoT student, ResNet-18 (demonstration)" --model-version 3.0 \
    --notice "Demonstration model, not a medical device: not for diagnosis, treatment or triage. It was trained on few images of one hospital and is often wrong."
"$bin/stepcot" calibrate "$out/run/model" --manifest "$out/nih.jsonl" -o "$out/package"
"$bin/stepcot" evaluate "$out/nih.jsonl" --package "$out/package" --split test --json >"$out/test.json"
python3 "$here/card.py" "$out/package/model.json" "$out/test.json"
"$bin/stepcot" model show "$out/package"
