"""Point clouds as octrees: geometry, placement and colours of `points.octree`."""
