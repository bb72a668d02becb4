"""Background jobs: start, queue, watch, stop, and how they end."""
