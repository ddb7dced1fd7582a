"""The selection keeps its promises, measured on what a decoder makes of the file."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from sample_assets import splats, textured_cube

import squeeze3d
from squeeze3d.assets import Mesh, Primitive
from squeeze3d.codecs import registry
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.codecs.select import METADATA_BYTES
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import UsageError, VerifyError
from squeeze3d.quality.goal import LEVELS
from squeeze3d.quality.measure import Reference


def painted_ball(rings: int = 14) -> Mesh:
    """A bumpy ball with smooth stripes: too much for lossless, easy for a surface codec."""
    theta, phi = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij"
    )
    radius = 1 + 0.08 * np.sin(5 * theta) * np.cos(4 * phi)
    noise = np.random.default_rng(0).normal(0, 1e-3, theta.shape)
    spots = (
        np.stack([np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi)], axis=-1)
        * (radius + noise)[..., None]
    )
    index = np.arange(theta.size).reshape(theta.shape)
    a, b, c, d = (x.ravel() for x in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)]).astype(np.int32)
    colours = np.ones((theta.size, 4), np.float32)
    colours[:, 0] = (0.5 + 0.4 * np.sin(3 * theta)).ravel()
    colours[:, 1] = (0.5 + 0.4 * np.cos(2 * phi)).ravel()
    return Mesh((Primitive(spots.reshape(-1, 3).astype(np.float32), triangles, colours=colours),))


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return painted_ball()


@pytest.fixture(scope="module")
def reference(ball: Mesh) -> Reference:
    return Reference(ball)


@pytest.fixture(scope="module")
def default(ball: Mesh) -> squeeze3d.Encoded:
    return squeeze3d.encode(ball)


def test_default_goal_is_reached_by_the_decoded_file(default: squeeze3d.Encoded, reference: Reference):
    measured = reference.measure(squeeze3d.decompress(default.data))
    assert default.codec.id == "mesh.surface"
    assert default.reached
    assert LEVELS[Kind.MESH]["paper"].reached(measured)
    assert measured == default.measurement, "the promise is what a decoder sees"


def test_the_file_is_not_much_better_than_asked(default: squeeze3d.Encoded):
    assert LEVELS[Kind.MESH]["paper"].margin(default.measurement) < 1.5


def test_figures_are_stored_and_can_be_left_out(ball: Mesh, default: squeeze3d.Encoded):
    stored = squeeze3d.inspect(default.data).measurement
    assert stored.psnr == pytest.approx(default.measurement.psnr, abs=0.006)
    bare = squeeze3d.compress(ball, metadata=False)
    assert squeeze3d.inspect(bare).measurement is None
    assert 0 < len(default.data) - len(bare) <= METADATA_BYTES[Kind.MESH]


def test_a_higher_goal_takes_more_bytes(ball: Mesh, default: squeeze3d.Encoded):
    good = squeeze3d.encode(ball, quality="good")
    assert good.reached
    assert len(good.data) > len(default.data)
    assert LEVELS[Kind.MESH]["good"].reached(good.measurement)


def test_a_larger_target_is_not_worse(ball: Mesh):
    results = [squeeze3d.encode(ball, target_size=size, effort=1) for size in (400, 800)]
    assert [len(r.data) <= size for r, size in zip(results, (400, 800), strict=True)] == [True] * 2
    quality = [r.measurement.psnr for r in results]
    assert all(later >= earlier - 0.1 for earlier, later in itertools.pairwise(quality))


def test_quality_within_a_size_takes_the_smallest_that_reaches_it(ball: Mesh, default: squeeze3d.Encoded):
    roomy = squeeze3d.encode(ball, quality="paper", target_size=4 * len(default.data))
    assert roomy.reached
    assert len(roomy.data) < 1.3 * len(default.data)


def test_quality_out_of_reach_gives_the_best_that_fits_and_says_so(ball: Mesh):
    tight = squeeze3d.encode(ball, quality="high", target_size=600, effort=1)
    assert not tight.reached
    assert 350 < len(tight.data) <= 600
    with pytest.raises(VerifyError, match="needs more than 600 bytes"):
        squeeze3d.encode(ball, quality="high", target_size=600, strict=True, effort=1)


def test_same_request_gives_the_same_bytes(ball: Mesh, default: squeeze3d.Encoded):
    assert squeeze3d.encode(ball).data == default.data


def test_a_named_codec_without_goal_is_not_measured(ball: Mesh):
    plain = squeeze3d.encode(ball, codec="mesh.surface", options={"faces": 200})
    assert plain.measurement is None
    assert squeeze3d.inspect(plain.data).measurement is None


def test_in_a_hurry_a_named_codec_for_a_size_is_not_measured(ball: Mesh):
    hurried = squeeze3d.encode(ball, codec="mesh.surface", target_size=600, effort=1)
    assert hurried.measurement is None
    assert len(hurried.data) <= 600
    for known in ({"codec": "mesh.surface", "quality": "draft"}, {"target_size": 600}):
        assert squeeze3d.encode(ball, effort=1, **known).measurement is not None


def test_lossless_wins_where_it_is_smaller_and_needs_no_proof():
    roomy = squeeze3d.encode(textured_cube(), quality="80", target_size=10_000_000)
    assert roomy.codec.id == "any.raw"
    assert roomy.reached
    tiny = squeeze3d.encode(b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert tiny.codec.id == "any.raw"
    assert tiny.measurement is None


def test_a_named_codec_is_measured_even_where_the_file_is_tiny():
    tiny = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    result = squeeze3d.encode(tiny, codec="mesh.surface", quality="paper")
    assert result.codec.id == "mesh.surface"
    assert result.measurement is not None


def test_splats_reach_a_high_goal():
    result = squeeze3d.encode(splats(), quality="high", effort=1)
    assert result.codec.id == "splats.quant"
    assert result.reached


@pytest.mark.parametrize("effort", [0, 10])
def test_effort_has_bounds(ball: Mesh, effort: int):
    with pytest.raises(UsageError, match="effort"):
        squeeze3d.encode(ball, effort=effort)


def test_low_effort_still_reaches_the_goal_and_the_smaller_file_wins():
    quick = squeeze3d.encode(painted_ball(rings=30), effort=1)
    assert quick.reached
    assert LEVELS[Kind.MESH]["paper"].reached(quick.measurement)
    found = {entry["codec"]: entry for entry in quick.tried if "bytes" in entry}
    assert list(found) == ["mesh.lite", "mesh.surface"], "meshes of many faces begin with the grid"
    goal = LEVELS[Kind.MESH]["paper"]
    sizes = {
        codec: entry["bytes"]
        for codec, entry in found.items()
        if goal.reached(replace(quick.measurement, **entry["measured"]))
    }
    assert sizes[quick.codec.id] == min(sizes.values())


def test_a_small_file_is_left_at_that(default: squeeze3d.Encoded):
    assert len(default.data) <= codec_by_id("mesh.lite").worth
    assert "mesh.lite" not in [entry["codec"] for entry in default.tried]


def test_a_codec_that_never_gets_better_is_not_asked_for_more(ball: Mesh, monkeypatch: pytest.MonkeyPatch):
    spec = replace(codec_by_id("mesh.surface"), usual=200, largest=300)
    monkeypatch.setitem(registry._BY_ID, spec.id, spec)
    small = squeeze3d.encode(ball, codec=spec.id, quality="good", effort=1)
    assert not small.reached
    assert len(small.data) < 400


def test_small_inputs_are_kept_unless_a_target_size_forbids_it():
    dot = painted_ball(rings=5)
    assert squeeze3d.encode(dot, effort=1).codec.id == "any.raw"
    tight = squeeze3d.encode(dot, quality="draft", target_size=300, effort=1)
    assert tight.codec.id != "any.raw"
    assert len(tight.data) <= 300


def test_target_sizes_beyond_what_a_codec_uses_are_left_to_others(ball: Mesh):
    large = squeeze3d.encode(ball, target_size=13_000, effort=1)
    assert "mesh.lite" not in [entry["codec"] for entry in large.tried]
