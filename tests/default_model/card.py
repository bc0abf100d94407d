"""Writes what `stepcot evaluate --json` measured into a package's model.json: card.py MODEL_JSON TEST_JSON

SPDX-License-Identifier: Apache-2.0
"""
import json
import sys

LIMITS = ("One hospital; labels mined by text from reports; distribution, location and part of pattern from boxes that were drawn "
          "on few images. Answers with a handful of training images are hardly ever given. Children, other devices and "
          "lateral views were not tested. No radiologist reviewed the label rules or the readings.")


def interval(x):
    return f"{x['value']:.3f} [{x['low']:.3f}, {x['high']:.3f}]"


def main(card_path, test_path):
    with open(card_path, encoding="utf-8") as f:
        card = json.load(f)
    with open(test_path, encoding="utf-8") as f:
        test = json.load(f)
    metrics = card["metrics"]
    metrics["test"] = (f"{test['images']} images of {test['patients']} patients who took no part in training, choice or calibration: "
                       "value [95 % interval over patients]")
    for name, step in test["steps"].items():
        if not step.get("available"):
            continue
        metrics[f"test_{name}_n"] = step["n"]
        metrics[f"test_{name}_auc"] = interval(step["auc"])
        metrics[f"test_{name}_auc_of_no_finding"] = interval(step["auc_negative"])
        metrics[f"test_{name}_accuracy"] = interval(step["accuracy"])
        chance = step["ece_by_chance"]
        metrics[f"test_{name}_ece"] = (f"{step['ece']['value']:.3f}; a calibrated model's by chance {chance['mean']:.3f}, "
                                       f"in 95 % at most {chance['high']:.3f}")
        metrics[f"test_{name}_rms_calibration_error"] = interval(step["rms_calibration_error"])
    metrics["limits"] = LIMITS
    with open(card_path, "w", encoding="utf-8") as f:
        f.write(json.dumps(card, indent="\t", ensure_ascii=False) + "\n")


main(*sys.argv[1:])
