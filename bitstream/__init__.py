"""The .sq3 file format: container, chunks, entropy coding, limits. Knows no codec.

`CODEC_SPEC.md` describes every byte written here; a change in one is a change in the other.
"""
