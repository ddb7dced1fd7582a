"""The .sq3 file format. Knows no codec."""
