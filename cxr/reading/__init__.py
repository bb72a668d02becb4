"""A film's way to its reading."""
