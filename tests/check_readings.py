#!/usr/bin/python3
"""check_readings.py SCHEMA FILE… [--member NAME]: every JSON value in the files is a reading (or has one as a member) that the JSON
Schema accepts, and every way of breaking one is refused: a member left out, renamed, added, of another type, a number out of
range. Debian's python3-jsonschema. Exit status 1 when anything is otherwise. SPDX-License-Identifier: Apache-2.0"""
import copy
import json
import sys

import jsonschema

# What a reading may do without; everything else it has is needed. A list's items are "*".
OPTIONAL = {"forced", "image", "code", "laterality", "evidence", "influences", "second_reader", "evidence_of"}
NEEDED = {"steps/*/code"}  # a step has its code; an option need not


def places(value, path=()):
    """Every object, list and leaf of a reading with its path."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, path + (key,))


def put(reading, path, change):
    """A copy of the reading in which change(parent, key) has been done at path."""
    broken = copy.deepcopy(reading)
    at = broken
    for key in path[:-1]:
        at = at[key]
    change(at, path[-1])
    return broken


def word(path):
    return "/".join("*" if isinstance(key, int) else key for key in path)


def other_type(value):
    if isinstance(value, bool):
        return str(value).lower()
    return 7 if isinstance(value, str) else "7"


def outside(path):
    """Numbers this member must not have."""
    name = next(key for key in reversed(path) if isinstance(key, str))
    if name in ("rows", "columns"):
        return [0, -1, 1.5, 65537]
    if name == "change":
        return [-1.01, 1.2]
    if name == "points":
        return [-0.5, 70000]
    return [-0.01, 1.2]


def mutations(reading):
    seen = set()
    for path, value in places(reading):
        kind = (word(path), type(value).__name__)
        if not path or kind in seen:  # one of each kind of place is enough
            continue
        seen.add(kind)

        def leave_out(at, key):
            del at[key]

        def rename(at, key):
            at[key + "s"] = at.pop(key)

        def retype(at, key):
            at[key] = other_type(at[key])

        if isinstance(path[-1], str):
            if path[-1] not in OPTIONAL or word(path) in NEEDED:
                yield "without " + word(path), put(reading, path, leave_out)
            yield "misspelt " + word(path), put(reading, path, rename)
        yield "another type of " + word(path), put(reading, path, retype)
        if isinstance(value, dict):
            yield "unknown member of " + word(path), put(reading, path, lambda at, key: at[key].update(more=1))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            for number in outside(path):
                yield f"{number} as {word(path)}", put(reading, path, lambda at, key, n=number: at.__setitem__(key, n))


def contradictions(reading):
    """Each member right by itself, and the whole wrong."""
    for state in ("complete", "partial", "refused"):
        if state != reading["state"]:
            yield "called " + state, dict(reading, state=state)
    yield "unknown state", dict(reading, state="done")
    yield "another format", dict(reading, schema="urn:stepcot:reading:2")
    yield "no object", [reading]
    if reading["state"] != "refused":
        yield "no steps", dict(reading, steps=[])
        yield "forced by nothing", dict(reading, forced={"id": "", "text": "x"})
    if any(step.get("evidence", {}).get("regions") for step in reading["steps"]):
        yield "regions in no image", {key: value for key, value in reading.items() if key != "image"}
    if "second_reader" in reading:
        yield "opinions of nobody", {key: value for key, value in reading.items() if key != "second_reader"}
    for path, value in places(reading):
        if path and path[-1] == "points":
            yield "two corners", put(reading, path, lambda at, key: at.__setitem__(key, at[key][:2]))
            yield "three coordinates", put(reading, path, lambda at, key: at[key][0].append(1))
            break


def values(text):
    """The JSON values of a text, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def main():
    words = sys.argv[1:]
    member = words[words.index("--member") + 1] if "--member" in words else None
    if member:
        words = words[: words.index("--member")]
    with open(words[0], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = bad = faults = 0
    for name in words[1:]:
        with open(name, encoding="utf-8") as file:
            readings = list(values(file.read()))
        if not readings:
            faults += 1
            print(f"FAIL {name}: no reading in it")
        for reading in readings:
            reading = reading[member] if member else reading
            errors = sorted(validator.iter_errors(reading), key=lambda e: list(map(str, e.path)))
            good += 1
            for error in errors[:3]:
                faults += 1
                print(f"FAIL {name}: {word(error.absolute_path)}: {error.message[:200]}")
            if errors:
                continue
            for what, broken in (*mutations(reading), *contradictions(reading)):
                bad += 1
                if validator.is_valid(broken):
                    faults += 1
                    print(f"FAIL {name}: accepted: {what}")
    print(f"{good} readings, {bad} broken ones, {faults} wrong")
    return 1 if faults or not good or not bad else 0


sys.exit(main())
