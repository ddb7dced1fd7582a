"""Networks at both ends of a pair: frozen encoders and generators."""
