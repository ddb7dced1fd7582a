"""Parts of `splats.quant`: `gaussians`, `merge` and `refit` prepare, `model` is the stream, `search` chooses."""
