"""Benchmarks: they use the public API as a user would."""
