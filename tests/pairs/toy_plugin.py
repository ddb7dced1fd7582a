"""Registers the toy pair when imported, as SQ3D_PLUGINS does."""

from toy_pair import register

register()
