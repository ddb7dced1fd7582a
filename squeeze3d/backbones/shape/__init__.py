"""Shap-E's decoder: a latent of a million numbers to the weights of a small network, and that to a coloured mesh.

```text
latent (1024, 1024) ─► a matrix for each row ─► LayerNorm ─► weights of four layers
                                                                   │
place (3) ─► octaves (93) ─► 4 layers of the latent ─► 3 layers of the checkpoint ─► distance, colour
                                                                   │
lattice of 128^3 places ─► distance ─► marching cubes ─► colours of vertices ─► mesh
```

Jun and Nichol, "Shap-E: Generating Conditional 3D Implicit Functions", 2023. Of the published files only this part is
read: of the port in diffusers (`shap_e_renderer`), or of the original `vector_decoder.pt` or `transmitter.pt` once they
are converted. The original's repository is under the MIT licence; its model card advises against commercial use.

The research code of Squeeze3D hands a stored latent to the text-to-3D pipeline as its initial noise, and diffuses it
again. Here a latent is decoded as it is.
"""
