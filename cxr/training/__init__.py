"""Training, the only place that imports TensorFlow."""
