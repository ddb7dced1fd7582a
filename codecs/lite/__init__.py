"""Structured latents in miniature: what the embedded mesh pair writes, and how it is read back."""
