"""InstantMesh: views of an object to a triplane, and a triplane to a coloured mesh.

```text
views (V, 3, 320, 320) ─► ViT, told the camera ─► tokens ─┐
                                                          ▼
           learned queries (3 x 32 x 32) ─► triplane transformer ─► planes (3, C, 64, 64)            ImagesToPlanes

planes ─► SDF at 129^3 points ─► surface cubes ─► deformation, weights there ─► FlexiCubes ─► mesh
   └────────────────────────────────────────────► colours at its vertices ──────────────────┘       FlexiDecoder
```

Xu et al., "InstantMesh: Efficient 3D Mesh Generation from a Single Image with Sparse-view Large Reconstruction
Models", 2024. Networks have the keys of the published checkpoints (`weights.py`).

The frame is right-handed, z up, the front towards +x. Planes span [-1, 1]^3; meshes lie in [-1.05, 1.05]^3.

`config.py` and `cameras.py` need NumPy alone; all other modules import torch.
"""
