"""NeRF-MAE: a masked autoencoder of radiance fields, grids of 160^3 cells of colour and opacity.

```text
field ─► opacity ─► 160^3 cells ─► Swin transformer ─► U-Net's first blocks ─► latent (96, 40^3)
         `grid`                    `swin`              `unet`, `network`          │
field ◄─ opacity ◄─ 160^3 cells ◄─ U-Net's last block ◄───────────────────────────┘
                                   `slabs`
```

Irshad et al., "NeRF-MAE: Masked AutoEncoders for Self-Supervised 3D Representation Learning for Neural Radiance
Fields", 2024. The published checkpoint (`mirshad7/NeRF-MAE`, backbone `swin_s`, decoder of a U-Net) loads by its own
keys. Its licence forbids commercial use.
"""
