"""Poses survive any box, and cost no more accuracy than float32 does."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from squeeze3d.bitstream.pose import Pose
from squeeze3d.bitstream.varint import write_varint, zigzag
from squeeze3d.errors import FormatError, TruncatedError

LARGEST = float(np.finfo(np.float32).max)
TYPICAL = ((-0.31, 0.02, -0.9), (1.2, 0.95, 0.4))

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
boxes = st.tuples(st.tuples(float32s, float32s, float32s), st.tuples(float32s, float32s, float32s)).map(
    lambda box: (tuple(map(min, *box)), tuple(map(max, *box)))
)


def raw(scale: float, *steps: int) -> bytes:
    return struct.pack("<f", scale) + b"".join(write_varint(zigzag(s)) for s in steps)


def test_golden_bytes():
    data = Pose.from_bounds(np.array(TYPICAL)).to_bytes()
    assert data.hex() == "ae47c13fdc049205d302"
    assert len(data) == 10


def test_canonical_frame_is_centred_and_has_unit_size():
    pose = Pose.from_bounds(np.array(TYPICAL))
    corners = pose.to_canonical(np.array(TYPICAL))
    assert np.abs(corners).max() <= 0.5 + 1 / 2048 + 1e-6
    assert np.ptp(corners, axis=0).max() == pytest.approx(1, abs=1e-6)


@settings(max_examples=500)
@given(boxes)
@example(((-LARGEST,) * 3, (LARGEST,) * 3))
@example(((LARGEST,) * 3, (LARGEST,) * 3))
@example(((LARGEST, 0.0, 0.0), (LARGEST, 1e38, 0.0)))
@example(((1e7,) * 3, (1e7 + 1e-6,) * 3))
@example(((1e30,) * 3, (1e30,) * 3))
@example(((0.0,) * 3, (1e-45,) * 3))
@example(((3e38,) * 3, (LARGEST,) * 3))
@example(((0.0,) * 3, (0.0,) * 3))
def test_every_box_gives_a_pose_that_is_read_back(bounds):
    pose = Pose.from_bounds(np.array(bounds))
    data = pose.to_bytes()
    assert 7 <= len(data) <= 22
    assert Pose.from_bytes(data, 0) == (pose, len(data))
    assert np.float32(pose.scale) == pose.scale


@settings(max_examples=300)
@given(st.lists(st.floats(-1e45, 1e45), min_size=3, max_size=3), st.floats(0, 1e40), st.floats(1e-40, 1e5))
def test_boxes_beyond_float32_give_a_pose_that_is_read_back(low, size, ratio):
    low = np.array(low)
    pose = Pose.from_bounds(np.array([low, low + np.array([size, size * ratio, 0])]))
    assert Pose.from_bytes(pose.to_bytes(), 0)[0] == pose


@settings(max_examples=300)
@given(boxes)
def test_corners_lie_in_the_unit_box(bounds):
    pose = Pose.from_bounds(np.array(bounds))
    if pose.scale < LARGEST:
        assert np.abs(pose.to_canonical(np.array(bounds))).max() <= 0.5 + 1 / 2048 + 1e-6


@settings(max_examples=300)
@given(boxes, st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=8))
def test_positions_come_back_within_float32_rounding(bounds, fractions):
    low, high = np.array(bounds)
    positions = (low + (high - low) * np.array(fractions)).astype(np.float32)
    pose = Pose.from_bounds(np.array(bounds))
    again = pose.to_original(pose.to_canonical(positions))
    assert again.dtype == np.float32
    # Half a step of float32 for the result, and float64 rounding at the size of the whole scene on the way.
    reach = np.abs(np.array(bounds)).max() + pose.scale
    error = np.abs(again.astype(np.float64) - positions)
    step = np.maximum(np.abs(positions.astype(np.float64)) * 2.0**-23, 2.0**-149)
    assert (error <= step / 2 + reach * 2.0**-50).all()


def test_far_away_tiny_assets_get_a_frame_they_can_be_resolved_in():
    pose = Pose.from_bounds(np.array([[1e7] * 3, [1e7 + 1e-6] * 3]))
    assert pose.scale == pytest.approx(1e7 * 2**-24)
    assert max(pose.steps) <= 2**34


def test_positions_beyond_float32_are_clamped():
    pose = Pose(LARGEST, (0, 0, 0))
    assert pose.to_original(np.array([[2.0, -2.0, 0.0]])).tolist() == [[LARGEST, -LARGEST, 0.0]]


def test_a_box_without_extent_has_scale_one():
    assert Pose.from_bounds(np.array([[1.0, 2.0, 3.0]] * 2)) == Pose(1.0, (1024, 2048, 3072))


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.0, float("inf"), float("-inf"), float("nan")])
def test_scales_that_are_not_positive_and_finite_are_refused(scale):
    with pytest.raises(FormatError, match="scale"):
        Pose.from_bytes(raw(scale, 0, 0, 0), 0)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("step", [2**63 - 1, -(2**63), 2**40])
def test_centres_beyond_float32_are_refused(axis, step):
    steps = [0, 0, 0]
    steps[axis] = step
    with pytest.raises(FormatError, match="centre"):
        Pose.from_bytes(raw(1e38, *steps), 0)


def test_huge_steps_of_a_tiny_scale_are_a_valid_centre():
    pose, _ = Pose.from_bytes(raw(1e-45, 2**63 - 1, -(2**63), 0), 0)
    assert np.isfinite(pose.centre).all()


def test_every_cut_is_truncated():
    data = raw(1.5, 300, -300, 7)
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            Pose.from_bytes(data[:length], 0)


def test_reads_at_an_offset():
    data = raw(1.5, 300, -300, 7)
    assert Pose.from_bytes(b"abc" + data + b"def", 3) == (Pose(1.5, (300, -300, 7)), 3 + len(data))


@given(st.binary(max_size=40))
def test_garbage_is_a_pose_or_an_error(data):
    try:
        pose, end = Pose.from_bytes(data, 0)
    except FormatError:
        return
    assert pose.to_bytes() == data[:end]
    assert np.isfinite(pose.to_original(np.array([[-0.5, 0.0, 0.5]]))).all()
