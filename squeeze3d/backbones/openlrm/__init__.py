"""OpenLRM 1.1: one picture of an object to a triplane, and the triplane to a coloured mesh.

```text
picture ─► DINOv2 ─► tokens ─┐
camera ─► embedding ─────────┴► transformer ─► planes (3, C, 64, 64) ─► density, colour ─► mesh
          ImageToPlanes                                                 PlaneDecoder, surface
```

Hong et al., "LRM: Large Reconstruction Model for Single Image to 3D", 2024; the open implementation's checkpoints
`openlrm-{obj,mix}-{small,base,large}-1.1` load by their own keys (`loading`). Their weights are CC BY-NC 4.0.

World: right-handed, z up, objects in [-1, 1]^3; the picture is taken from -y, looking along +y.
"""
