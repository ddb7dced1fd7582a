"""Triangle meshes on an integer grid: connectivity and positions in one stream, compiled."""

from squeeze3d.codecs.meshes.coder import MAX_STEP, CodedMesh, decode_mesh, encode_mesh, measure_mesh, settle_mesh

__all__ = ["MAX_STEP", "CodedMesh", "decode_mesh", "encode_mesh", "measure_mesh", "settle_mesh"]
