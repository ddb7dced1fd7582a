"""Textures on plain arrays: lookup, atlases, baking."""
