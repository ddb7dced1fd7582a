"""3D assets: types, readers and writers.

`load` and `save` are the everyday entry points; `read` also returns what was lost and where the bytes came from.
"""

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.formats import Format, all_formats, format_for_suffix, load, read, save, sniff_format, write_files
from squeeze3d.assets.image import Image, Texture, TextureTransform, Wrap
from squeeze3d.assets.loss import Loss, LossReport
from squeeze3d.assets.mesh import Material, Mesh, Node, Primitive
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset, Loaded, Source
from squeeze3d.assets.splats import Splats

__all__ = [
    "Asset",
    "Format",
    "Image",
    "Loaded",
    "Loss",
    "LossReport",
    "Material",
    "Mesh",
    "Node",
    "PointCloud",
    "Primitive",
    "RadianceField",
    "Source",
    "Splats",
    "Texture",
    "TextureTransform",
    "Wrap",
    "all_formats",
    "format_for_suffix",
    "load",
    "read",
    "save",
    "sniff_format",
    "write_files",
]
