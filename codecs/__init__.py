"""Codecs and their registry."""
