"""Geometry on plain arrays: merging, simplification, sampling, closest points, normals."""
