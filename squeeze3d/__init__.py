"""squeeze3d."""
