"""Mapping networks between the latents of an encoder and those of a generator, their losses, and the code model."""
