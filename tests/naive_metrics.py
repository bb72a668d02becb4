"""Second, naive implementations of the metrics, and films to try them on."""

import math
from dataclasses import fields

import numpy as np

from cxr.evaluation import operating
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.operating import Confusion

RATES = tuple(f.name for f in fields(operating.Rates))
Z = 1.959963984540054


def films(seed=0, n=60, decimals=None, separation=1.5):
    """Labels of both classes, probabilities and patients of one to four films."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3 > 0).astype(int)
    logits = rng.normal(separation * (labels - 0.5), 1.0)
    scores = sigmoid(logits)
    if decimals is not None:
        scores = np.round(scores, decimals)
    return labels, scores, rng.integers(n // 2, size=n)


def clustered(rng, n_patients, separation):
    """Films whose scores agree within a patient, each patient of one class."""
    size = np.minimum(rng.geometric(0.5, n_patients), 8)
    patients = np.repeat(np.arange(n_patients), size)
    labels = (np.arange(n_patients) % 2)[patients]
    shared = rng.normal(size=n_patients)[patients] * math.sqrt(0.6)
    own = rng.normal(size=patients.size) * math.sqrt(0.4)
    return labels, shared + own + separation * (labels - 0.5), patients


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_wilson(p, n):
    """The two roots of n (p - x)^2 = z^2 x (1 - x)."""
    if p in (0, 1):
        low, high = (0, Z**2 / (n + Z**2)) if p == 0 else (n / (n + Z**2), 1)
        return low, high
    a, b, c = n + Z**2, -(2 * n * p + Z**2), n * p**2
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def naive_auc(labels, scores):
    won = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, y in zip(scores, labels, strict=True)
        for b, other in zip(scores, labels, strict=True)
        if y == 1 and other == 0
    ]
    return sum(won) / len(won)


def naive_components(labels, scores):
    """For each film, the share of the other class's films on the right side of it."""

    def share(i):
        others = [j for j in range(len(labels)) if labels[j] != labels[i]]
        sign = 1 if labels[i] == 1 else -1
        return sum(
            (np.sign(sign * (scores[i] - scores[j])) + 1) / 2 for j in others
        ) / (len(others))

    return [share(i) for i in range(len(labels))]


def naive_delong(labels, scores):
    """DeLong's S10 / m + S01 / n."""
    parts = np.array(naive_components(labels, scores))
    ill, well = parts[labels == 1], parts[labels == 0]
    return np.var(ill, ddof=1) / ill.size + np.var(well, ddof=1) / well.size


def naive_obuchowski(labels, shares, patients, auc):
    """Her S10, S01 and S11, patient by patient."""
    m, n = (labels == 1).sum(), (labels == 0).sum()
    s10 = s01 = s11 = 0.0
    with_ill, with_well = set(), set()
    for patient in set(patients):
        mine = [i for i in range(len(labels)) if patients[i] == patient]
        ill = [shares[i] for i in mine if labels[i] == 1]
        well = [shares[i] for i in mine if labels[i] == 0]
        with_ill |= {patient} if ill else set()
        with_well |= {patient} if well else set()
        a, b = sum(ill) - len(ill) * auc, sum(well) - len(well) * auc
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01, i = len(with_ill), len(with_well), len(set(patients))
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    s11 *= i / (i - 1)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def naive_average_precision(labels, scores):
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = [y for y, s in zip(labels, scores, strict=True) if s >= threshold]
        recall = sum(called) / sum(labels)
        total += (recall - before) * sum(called) / len(called)
        before = recall
    return total


def naive_calibration_error(labels, scores, n_bins=15):
    edges, error = np.linspace(0, 1, n_bins + 1), 0.0
    for i in range(n_bins):
        inside = [
            (y, s)
            for y, s in zip(labels, scores, strict=True)
            if edges[i] < s <= edges[i + 1] or (i == 0 and s == 0)
        ]
        if inside:
            observed = sum(y for y, _ in inside) / len(inside)
            predicted = sum(s for _, s in inside) / len(inside)
            error += len(inside) / len(labels) * abs(observed - predicted)
    return error


def counts_at(labels, scores, threshold):
    pairs = list(zip(labels, scores, strict=True))
    return Confusion(
        tn=sum(y == 0 and s < threshold for y, s in pairs),
        fp=sum(y == 0 and s >= threshold for y, s in pairs),
        fn=sum(y == 1 and s < threshold for y, s in pairs),
        tp=sum(y == 1 and s >= threshold for y, s in pairs),
    )


def share(a, b):
    return a / b if b else math.nan


def naive_rates(c):
    """Each rate from the counts; a ratio to nothing is infinite."""

    def ratio(a, b):
        return math.inf if b == 0 < a else share(a, b)

    sensitivity, specificity = share(c.tp, c.tp + c.fn), share(c.tn, c.tn + c.fp)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": (c.tp + c.tn) / (c.tp + c.tn + c.fp + c.fn),
        "precision": share(c.tp, c.tp + c.fp),
        "npv": share(c.tn, c.tn + c.fn),
        "f1": share(2 * c.tp, 2 * c.tp + c.fp + c.fn),
        "likelihood_ratio_positive": ratio(sensitivity, share(c.fp, c.tn + c.fp)),
        "likelihood_ratio_negative": ratio(share(c.fn, c.tp + c.fn), specificity),
    }


def estimates_of(record):
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {k: v for k, v in values.items() if isinstance(v, Estimate)}
