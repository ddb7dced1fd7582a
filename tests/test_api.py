"""The public Python API, as a user's program calls it."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_assets import (
    bare,
    box,
    field,
    materials_ball,
    picture,
    points,
    random,
    splats,
    textured_cube,
    vertex_colours,
    white_ball,
)

import squeeze3d
from squeeze3d import api
from squeeze3d.assets import Source, write_files
from squeeze3d.codecs.spec import Fidelity, Kind, RawFiles
from squeeze3d.errors import (
    ChecksumError,
    FormatError,
    InputError,
    LimitError,
    OutputError,
    TargetSizeError,
    TruncatedError,
    UnsupportedError,
    UsageError,
    VerifyError,
)

TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def noisy_ball() -> squeeze3d.Mesh:
    """A mesh that zstandard cannot make small."""
    ball = white_ball().primitives[0]
    noise = random(1).normal(0, 0.02, ball.positions.shape)
    return bare(ball.positions + noise, ball.triangles, base_colour=(0.2, 0.4, 0.6, 1.0))


@pytest.fixture(scope="module")
def glb() -> bytes:
    return write_files(textured_cube(), "cube.glb")["cube.glb"]


def test_examples_in_the_documentation_run():
    for module in (api, squeeze3d):
        assert doctest.testmod(module).failed == 0
    assert doctest.testmod(api).attempted > 0


def test_paths_bytes_sources_and_objects_are_accepted(tmp_path, glb):
    path = tmp_path / "cube.glb"
    path.write_bytes(glb)
    results = [
        squeeze3d.compress(source, codec="mesh.surface", options={"colour": "constant"})
        for source in (path, str(path), glb, Source(glb, "cube.glb"), textured_cube())
    ]
    assert len(set(results)) == 1


def test_format_can_be_given_where_the_name_does_not_tell(tmp_path):
    path = tmp_path / "mesh.dat"
    path.write_bytes(b"# nothing to recognise\n" * 50 + TRIANGLE)
    data = squeeze3d.compress(path, format="obj")
    assert squeeze3d.decompress(data).face_count == 1
    with pytest.raises(UnsupportedError):
        squeeze3d.compress(path, format="docx")


def test_save_and_load(tmp_path):
    mesh = squeeze3d.decompress(squeeze3d.compress(vertex_colours(), codec="mesh.surface"))
    path = tmp_path / "back.glb"
    squeeze3d.save(mesh, path)
    assert squeeze3d.load(path).face_count == mesh.face_count
    with pytest.raises(OutputError):
        squeeze3d.save(mesh, path)
    squeeze3d.save(mesh, path, overwrite=True)


def test_encode_reports_what_happened(glb):
    steps: list[tuple[str, float]] = []
    result = squeeze3d.encode(glb, codec="mesh.surface", progress=lambda *step: steps.append(step))
    assert isinstance(result, squeeze3d.Encoded)
    assert result.codec.id == "mesh.surface"
    assert result.kind is Kind.MESH
    assert result.source_bytes == len(glb)
    assert result.ratio == len(glb) / len(result.data)
    assert result.seconds > 0
    assert result.tried == ({"codec": "mesh.surface", "bytes": len(result.data)},)
    assert {"faces", "vertices", "source_faces", "bits", "colour", "score"} <= set(result.notes)
    assert result.notes["faces"] <= result.notes["source_faces"] == 12
    assert json.loads(json.dumps(dict(result.notes))) == result.notes, "plain data"
    assert [x.feature for x in result.losses] == ["uv-layout"]
    fractions = [f for _, f in steps]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] == 1


def test_objects_have_no_source_size():
    result = squeeze3d.encode(white_ball(), codec="mesh.surface")
    assert (result.source_bytes, result.ratio) == (0, 0)


def test_losses_are_listed():
    features = {x.feature for x in squeeze3d.encode(materials_ball(), codec="mesh.surface").losses}
    assert {"materials", "scene-structure", "uv-layout", "emissive"} <= features


def test_strict_refuses_losses_and_allows_lossless_files(glb):
    with pytest.raises(UnsupportedError, match="UV layout"):
        squeeze3d.compress(glb, codec="mesh.surface", strict=True)
    squeeze3d.compress(glb, codec="any.raw", strict=True)
    squeeze3d.compress(white_ball(), codec="mesh.surface", strict=True)


def test_wrong_requests(glb):
    with pytest.raises(UsageError, match="no codec"):
        squeeze3d.compress(glb, codec="mesh.perfect")
    with pytest.raises(UsageError, match="need a codec"):
        squeeze3d.compress(glb, options={"faces": 3})
    with pytest.raises(UsageError, match="faces"):
        squeeze3d.compress(glb, codec="mesh.surface", options={"faces": -3})
    with pytest.raises(UsageError, match="colour"):
        squeeze3d.compress(glb, codec="mesh.surface", options={"colour": "beautiful"})
    with pytest.raises(UnsupportedError, match="takes mesh"):
        squeeze3d.compress(points(), codec="mesh.surface")
    for size in (0, -1):
        with pytest.raises(UsageError, match="positive"):
            squeeze3d.compress(glb, target_size=size)


def test_unreadable_inputs(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        squeeze3d.compress(tmp_path / "missing.glb")
    with pytest.raises(InputError, match="empty"):
        squeeze3d.compress(b"")
    with pytest.raises(InputError, match="degenerate"):
        squeeze3d.compress(bare(np.zeros((3, 3)), [[0, 1, 2]]), codec="mesh.surface")


def test_lossless_wins_where_it_is_not_larger():
    tiny = squeeze3d.encode(TRIANGLE)
    sizes = {t["codec"]: t.get("bytes") for t in tiny.tried}
    assert len(tiny.data) == min(s for s in sizes.values() if s)
    text = b"".join(b"v 0 0 %d\n" % (k % 2) for k in range(400)) + TRIANGLE.replace(b"f 1 2 3", b"f 401 402 403")
    result = squeeze3d.encode(text + b"".join(b"f %d %d 402\n" % (k, k + 1) for k in range(2, 300)))
    assert result.codec.fidelity in (Fidelity.LOSSLESS, Fidelity.PERCEPTUAL)


def test_lossless_wins_where_it_fits_the_target(glb):
    # Beyond what `mesh.lite` makes use of.
    roomy = squeeze3d.encode(glb, target_size=len(glb) * 2 + 12_000)
    assert roomy.codec.id == "any.raw"
    assert [t["codec"] for t in roomy.tried] == ["mesh.surface", "any.raw"]
    assert not list(roomy.losses)


@pytest.mark.parametrize("target", [150, 400, 1000])
def test_target_sizes_are_met(target):
    result = squeeze3d.encode(noisy_ball(), target_size=target)
    assert target / 2 < len(result.data) <= target
    assert result.codec.fidelity is Fidelity.PERCEPTUAL
    measured = {t["codec"]: t["measured"] for t in result.tried if "measured" in t}
    assert set(measured) == {"mesh.surface", "mesh.lite"}
    assert any("reason" in t for t in result.tried if t["codec"] == "any.raw")


def test_more_bytes_give_better_results():
    files = [squeeze3d.encode(noisy_ball(), codec="mesh.surface", target_size=t) for t in (150, 400, 1000)]
    scores = [file.notes["score"] for file in files]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("make", [points, splats, field, noisy_ball])
def test_impossible_targets(make):
    with pytest.raises(TargetSizeError, match="20 B") as caught:
        squeeze3d.compress(make(), target_size=20)
    assert caught.value.hint


@pytest.mark.parametrize("make", [points, splats, field])
def test_other_kinds_come_back_whole(make):
    asset = make()
    back = squeeze3d.decompress(squeeze3d.compress(asset, codec="any.raw"))
    assert type(back) is type(asset)
    for name in asset.__dataclass_fields__:
        assert np.allclose(getattr(back, name), getattr(asset, name), atol=1e-6)


def test_side_files_come_back_identical(tmp_path):
    files = {
        "crate.obj": b"# a comment that no reader keeps\nmtllib tex/crate.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\n"
        b"vt 0 0\nvt 1 0\nvt 0 1\nusemtl wood\nf 1/1 2/2 3/3\n",
        "tex/crate.mtl": b"newmtl wood\nKd 1 1 1\nmap_Kd wood.png\n",
        "tex/wood.png": picture().data,
    }
    # Some readers resolve maps beside the library, others beside the main file.
    files["wood.png"] = files["tex/wood.png"]
    (tmp_path / "tex").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    result = squeeze3d.encode(tmp_path / "crate.obj", codec="any.raw")
    assert result.notes["files"] >= 3
    kept = api.decode(result.data)
    assert isinstance(kept, RawFiles)
    main, *side = kept.files.items()
    assert main == ("asset.obj", files["crate.obj"])
    assert side
    assert all(files[name] == content for name, content in side)
    mesh = squeeze3d.decompress(result.data)
    assert mesh.materials[0].base_colour_texture.image.data == picture().data
    assert result.source_bytes == len(files["crate.obj"]) + sum(len(content) for _, content in side)


def test_inspect_reads_the_header():
    mesh = white_ball()
    data = squeeze3d.compress(mesh, codec="mesh.surface")
    info = squeeze3d.inspect(data)
    assert isinstance(info, squeeze3d.Info)
    assert (info.size, info.format_version, info.codec.id, info.source_format) == (len(data), 1, "mesh.surface", "glb")
    assert info.scale == pytest.approx(2, rel=1e-6)
    assert np.allclose(info.centre, 0, atol=1e-3)
    assert info.overhead == len(data) - sum(info.chunks.values()) <= 32
    assert info.fingerprint is None
    assert info.metadata == {}
    raw = squeeze3d.inspect(squeeze3d.compress(TRIANGLE, codec="any.raw"))
    assert (raw.source_format, raw.scale, raw.centre) == ("obj", None, None)


def test_damage_is_found():
    data = squeeze3d.compress(white_ball(), codec="mesh.surface")
    flipped = bytes([*data[:40], data[40] ^ 1, *data[41:]])
    for use in (squeeze3d.inspect, squeeze3d.verify, squeeze3d.decompress):
        with pytest.raises(ChecksumError):
            use(flipped)
        with pytest.raises(TruncatedError):
            use(data[:-1])
        with pytest.raises(FormatError):
            use(b"not a file of ours")


def test_deep_verification_decodes():
    from squeeze3d.bitstream.container import Container, Tag

    data = squeeze3d.compress(vertex_colours(), codec="mesh.surface")
    assert squeeze3d.verify(data, deep=True) == squeeze3d.verify(data)
    container = Container.from_bytes(data)
    symbols = bytearray(container.chunks[Tag.SYMBOLS])
    symbols[5] ^= 0x40
    broken = Container(25, 1, container.pose, chunks={**container.chunks, Tag.SYMBOLS: bytes(symbols)}).to_bytes()
    squeeze3d.verify(broken)
    with pytest.raises(VerifyError):
        squeeze3d.verify(broken, deep=True)
    with pytest.raises(LimitError):
        squeeze3d.verify(data, deep=True, max_memory=1)


def test_results_do_not_depend_on_what_ran_before():
    """The same bytes in another process with another number of threads."""
    data = squeeze3d.compress(vertex_colours(), codec="mesh.surface", options={"faces": 60})
    script = (
        "import sys, squeeze3d; sys.path.insert(0, sys.argv[1]); from sample_assets import vertex_colours; "
        "sys.stdout.write(squeeze3d.compress(vertex_colours(), codec='mesh.surface', options={'faces': 60}).hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, Path(__file__).parent], capture_output=True, text=True, check=True
    )
    assert done.stdout == data.hex()


def test_importing_costs_nothing():
    script = (
        "import sys, squeeze3d; squeeze3d.__version__; dir(squeeze3d); "
        "sys.exit(','.join(m for m in ('numpy', 'torch', 'open3d', 'trimesh', 'scipy', 'PIL', 'typer', 'rich') "
        "if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_inspecting_loads_nothing_heavy(tmp_path):
    path = tmp_path / "box.sq3"
    path.write_bytes(squeeze3d.compress(bare(*box()), codec="mesh.surface"))
    script = (
        "import sys, squeeze3d; from pathlib import Path; squeeze3d.verify(Path(sys.argv[1]).read_bytes()); "
        "sys.exit(','.join(m for m in ('torch', 'open3d', 'trimesh', 'scipy', 'PIL') if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names():
    assert all(getattr(squeeze3d, name) is not None for name in squeeze3d.__all__)
    assert dir(squeeze3d) == sorted(squeeze3d.__all__)
    with pytest.raises(AttributeError, match="decompres"):
        _ = squeeze3d.decompres
