"""Parts of `mesh.scene`: a whole glTF scene quantised geometry, re-encoded textures, the rest verbatim."""
