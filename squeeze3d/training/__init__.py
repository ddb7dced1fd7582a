"""Training: data sets drawn from generators, mapping networks, code models."""
