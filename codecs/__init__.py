"""Codecs, their registry and the choice between them. One codec per file."""
