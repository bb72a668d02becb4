"""Labelled films in a folder or a manifest: found, split, surveyed, checked."""
