"""Parts of `field.blocks`."""

from __future__ import annotations

BOX = 16
"""Chunk tag: six little-endian float32, minimum and maximum corner."""
