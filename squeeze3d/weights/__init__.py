"""Weights: which files networks need, where they come from, and where they lie on this machine."""
