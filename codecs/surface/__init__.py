"""Parts of the `mesh.surface` codec."""
