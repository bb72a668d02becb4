"""How a network stands up to what is not disease: acquisition, markers, style.

`films` holds what is looked at and `subjects` who is judged: a registered model or any
function from films to logits. `shifts`, `markers`, `strata`, `style`, `twins` and
`heatmaps` are the parts, `suite` runs them and `tables` puts them into words; `letters`
finds burned-in letters and `measures` makes the figures.

What is drawn for a film depends on its hash and a seed, never on its label or on the
films beside it; only the shift that borrows the tone curve of the other class asks for
labels, on purpose. Nothing here needs TensorFlow.
"""
