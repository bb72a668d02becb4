"""Who may put a model into service, after which checks."""
