"""LION: latents of two levels to 2,048 points, the encoders that make them of points, and the priors that draw them.

```text
points (2048, 3) ─► style encoder ─► style (128) ──────────┬──────────────────────┐
      └───────────► encoder ◄─ style ─► latent points (2048, 4) ─► decoder ◄─ style ─► points (2048, 3)
noise ─► global prior, 1000 steps ─► style                      decoder: latent places + 1 % of what a U-Net says
noise ─► local prior, 1000 steps ◄─ style ─► latent points
```

Zeng et al., "LION: Latent Point Diffusion Models for 3D Shape Generation", 2022. The weights may not be used
commercially. A latent of a pair is the style and then the latent points, point by point: 128 + 8192 numbers.

Networks are in evaluation mode, always: the original's demonstration leaves dropout on. Encoders give the means of
their distributions.

`config.py` needs no torch; `operations.py`, `layers.py`, `unet.py`, `network.py`, `priors.py` and `loading.py` do.
"""
