"""The `sq3d` command."""
