"""From labels and scores to metrics with intervals, thresholds and calibration.

Everything here is a pure function of arrays: no model, no files, no plots. The nouns:

label            1 for a film of pneumonia ("ill"), 0 for a normal one ("well")
score            what a model says of a film; the higher, the more like pneumonia
probability      a score in `[0, 1]` that is calibrated to a prevalence; what scores are
                 unless said otherwise
threshold        a film is positive when its score is at or above it
operating point  a threshold with the rates that films show at it
estimate         a value with its 95 % interval; where patients are given, films of one
                 patient are taken together

What is undefined (a rate of nothing, an AUC of one class) is nan and an
`UndefinedMetricWarning`, never 0.

`estimates` makes the intervals, `operating` the rates at one threshold, `answered`
those with a zone without an answer, which `band` chooses, `thresholds` the curve over
all and the rules that choose one, `ranking` AUC and average precision,
`reliability` Brier score and calibration error, `calibration` the scaling that serves,
`comparison` two models on the same films, `subgroups` parts of the films, `summary` all
metrics at once, `overview` what a page shows at any threshold.

The modules import NumPy alone; what needs SciPy imports it when it is called.
"""
