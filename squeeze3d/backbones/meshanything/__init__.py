"""MeshAnything's point encoder with the conditioning projection: what the mesh pairs of Squeeze3D see of a mesh.

```text
mesh ─► 4,096 points with normals ─► cross-attention ─► 257 tokens ─┬─ shape token ────────► projection ─┐
        (points.py)                  8 self-attention blocks        └─ 256 latents ─┬──────► projection ─┴─► (257, 1024)
                                                                                    └► mean ► 16 blocks ┘
```

Chen et al., "MeshAnything", 2024; the encoder is that of Zhao et al., "Michelangelo", 2023. Of the published file
`MeshAnything_350m.pth` (safetensors, in spite of its name) only this part is read: neither the tokeniser nor the
language model that writes meshes. The weights may not be used commercially.

`points.py` needs NumPy alone; `layers.py`, `network.py` and `encoder.py` import torch.
"""
