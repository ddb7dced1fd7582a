"""What a process that belongs to this program leaves out of the libraries it loads. Others get them whole."""

from __future__ import annotations

lean = False
"""Set before anything heavy is imported."""
