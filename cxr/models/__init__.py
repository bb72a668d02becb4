"""Trained models: card, registry, network, answers."""
