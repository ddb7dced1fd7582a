"""Parts of the `mesh.surface` codec: `build` and `search` encode, `model` is the stream, `rebuild` decodes."""
