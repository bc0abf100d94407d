#!/usr/bin/env python3
"""Scores by numpy, scipy and scikit-learn, for tests/test_scores.c.

    python3 tests/golden/metrics/generate.py tests/golden/metrics

Writes cases.txt: random logits, labels and patients of several shapes (ties, an option without rows, one row of an
option), what the libraries make of them, and 95 % intervals from 4,000 bootstrap draws over patients, for one model and
for the difference to a second one; calibration errors without the bias of few rows. SPDX-License-Identifier: Apache-2.0"""
import sys

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import (accuracy_score, confusion_matrix, f1_score, log_loss, precision_score, recall_score,
                             roc_auc_score)

NAMES = ["accuracy", "auc", "sensitivity", "specificity", "precision", "f1", "ece", "nll", "auc_negative"]
INTERVALS = ["accuracy", "auc", "f1", "nll"]
BINS = 15
DRAWS = 4000


def aucs(p, y):
    out = []
    for c in range(p.shape[1]):
        kinds = np.unique(y == c)
        out.append(roc_auc_score(y == c, p[:, c]) if len(kinds) == 2 else np.nan)
    return np.array(out)


def ece(p, y):
    top, right = p.max(1), p.argmax(1) == y
    edge = np.minimum((top * BINS).astype(int), BINS - 1)
    return sum(abs(top[edge == b].sum() - right[edge == b].sum()) for b in range(BINS)) / len(y)


def equal_mass(p, y, patient):
    """ECE over bins of equal mass; the mean square over them less the variance of each bin's mean over its patients
    (Kumar, Liang and Ma 2019 with clustered variance), and its 95 % interval as roots."""
    top, off = p.max(1), p.max(1) - (p.argmax(1) == y)
    order, n = np.argsort(np.round(top, 12), kind="stable"), len(y)
    bins = min(max(n // 5, 1), BINS)
    plain = square = spread = 0
    for b in range(bins):
        rows = order[b * n // bins:(b + 1) * n // bins]
        m, mean, people = len(rows), off[rows].mean(), np.unique(patient[rows])
        plain += m / n * abs(mean)
        sums = np.array([(off[rows] - mean)[patient[rows] == q].sum() for q in people])
        if len(people) < 2:
            continue
        v = (sums ** 2).sum() / m ** 2 * len(people) / (len(people) - 1)
        square += m / n * (mean ** 2 - v)
        spread += (m / n) ** 2 * (4 * max(mean ** 2 - v, 0) * v + 2 * v ** 2)
    reach = 1.96 * np.sqrt(spread)
    return plain, square, np.sqrt(max(square - reach, 0)), np.sqrt(max(square + reach, 0))


def by_chance(p, rng):
    top = p.max(1)
    edge = np.minimum((top * BINS).astype(int), BINS - 1)
    off = top - (rng.random((20000, len(p))) < top)
    sums = np.array([np.abs(off[:, edge == b].sum(1)) for b in range(BINS)]).sum(0) / len(p)
    return sums.mean(), np.quantile(sums, 0.95), sums


def left_out(z, y, patient, folds=5):
    total = 0
    for fold in range(folds):
        out = patient % folds == fold
        total -= log_softmax(z[out] / temperature(z[~out], y[~out]), axis=1)[np.arange(out.sum()), y[out]].sum()
    return total / len(y)


def scores(z, y, negative, which=NAMES):
    p, classes = softmax(z, axis=1), z.shape[1]
    answer, there = p.argmax(1), np.unique(y)
    out = {}
    for name in which:
        macro = dict(labels=there, average="macro", zero_division=0)
        if name == "accuracy":
            out[name] = accuracy_score(y, answer)
        elif name == "auc":
            one = aucs(p, y)
            out[name] = np.nan if np.isnan(one).all() else np.nanmean(one)
        elif name == "sensitivity":
            out[name] = recall_score(y, answer, **macro)
        elif name == "specificity":
            table = confusion_matrix(y, answer, labels=range(classes))
            out[name] = np.mean([1 - (table[:, c].sum() - table[c, c]) / (len(y) - table[c].sum()) for c in there])
        elif name == "precision":
            out[name] = precision_score(y, answer, **macro)
        elif name == "f1":
            out[name] = f1_score(y, answer, **macro)
        elif name == "ece":
            out[name] = ece(p, y)
        elif name == "nll":
            out[name] = log_loss(y, p, labels=range(classes))
        else:
            out[name] = aucs(p, y)[negative]
    return out


def bootstrap(z, other, y, patient, negative, rng):
    rows = [np.flatnonzero(patient == q) for q in range(patient.max() + 1)]
    one, difference = [], []
    for _ in range(DRAWS):
        pick = np.concatenate([rows[q] for q in rng.integers(len(rows), size=len(rows))])
        a = scores(z[pick], y[pick], negative, INTERVALS)
        b = scores(other[pick], y[pick], negative, INTERVALS)
        one.append([a[k] for k in INTERVALS])
        difference.append([b[k] - a[k] for k in INTERVALS])
    one, difference = np.array(one), np.array(difference)
    above = np.mean((difference > 0) + 0.5 * (difference == 0), axis=0)
    return np.nanpercentile(one, [2.5, 97.5], axis=0), np.nanpercentile(difference, [2.5, 97.5], axis=0), above


def temperature(z, y):
    def nll(log_t):
        return -log_softmax(z / np.exp(log_t), axis=1)[np.arange(len(y)), y].sum()

    return float(np.exp(minimize_scalar(nll, bounds=(np.log(0.05), np.log(20)), method="bounded",
                                        options=dict(xatol=1e-10)).x))


def case(f, name, n, classes, negative, draw, rng, intervals):
    """draw(rng, n) -> labels."""
    y = draw(rng, n)
    patient = np.sort(rng.integers(0, max(n // 2, 1), size=n))
    patient = np.unique(patient, return_inverse=True)[1]
    signal = np.eye(classes)[y] * 1.5
    z = np.round(3 * (signal + rng.normal(size=(n, classes))), 1)  # rounded: equal values occur
    other = np.round(2 * (signal + rng.normal(size=(n, classes))), 1)
    f.write(f"case {name} {n} {classes} {negative} {patient.max() + 1}\n")
    for i in range(n):
        f.write(f"{y[i]} {patient[i]} " + " ".join(f"{v:.1f}" for v in np.r_[z[i], other[i]]) + "\n")
    p = softmax(z, axis=1)
    f.write(f"left_out {int(np.isnan(aucs(p, y)).sum())}\n")
    for key, value in scores(z, y, negative).items():
        f.write(f"{key} {value:.15g}\n")
    f.write(f"temperature {temperature(z, y):.9g}\n")
    chance, high, sums = by_chance(p, np.random.default_rng(11))
    f.write(f"chance {chance:.6f} {high:.6f} {np.mean(sums >= ece(p, y) - 1e-12):.6f}\n")
    f.write("mass " + " ".join(f"{v:.15g}" for v in equal_mass(p, y, patient)) + "\n")
    f.write(f"left_out_nll {left_out(z, y, patient):.9g}\n")
    if intervals:
        one, difference, above = bootstrap(z, other, y, patient, negative, rng)
        for k, key in enumerate(INTERVALS):
            f.write(f"interval {key} {one[0, k]:.6f} {one[1, k]:.6f} "
                    f"{difference[0, k]:.6f} {difference[1, k]:.6f} {above[k]:.6f}\n")
    f.write("end\n")


def main():
    rng = np.random.default_rng(7)
    with open(sys.argv[1] + "/cases.txt", "w") as f:
        case(f, "two_options_one_rare", 80, 2, 0, lambda r, n: (r.random(n) < 0.15).astype(int), rng, True)
        case(f, "four_options", 60, 4, 3, lambda r, n: r.integers(0, 4, n), rng, False)
        case(f, "seven_options_two_without_rows", 50, 7, 0, lambda r, n: r.choice([0, 1, 3, 4, 6], n), rng, False)
        case(f, "nine_options_one_row_of_the_last", 70, 9, 0, lambda r, n: np.r_[r.integers(0, 8, n - 1), 8], rng, False)


if __name__ == "__main__":
    main()
