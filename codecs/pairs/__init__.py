"""Squeeze3D pairs: a frozen encoder, a mapping to a small code and back, and a frozen generator."""
