"""The bench of fields: peers pack what they say, and a run writes what the docs show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from field_cases import ball

from squeeze3d.bench import fields
from squeeze3d.bench.field_peers import half_floats, quantised, swept


def test_peers_come_back_as_fields():
    field = ball(12)
    fine, coarse = quantised(field, 8, 1.0), quantised(field, 4, 3.0)
    assert fine.field.rgbsigma.shape == (12, 12, 12, 4)
    assert coarse.field.rgbsigma.shape == (4, 4, 4, 4)
    assert coarse.bytes < fine.bytes
    assert half_floats(field) > coarse.bytes
    there = field.rgbsigma[..., 3] > 1
    assert np.abs(fine.field.rgbsigma - field.rgbsigma)[there, :3].max() < 0.01


def test_the_sweep_goes_from_coarse_to_fine():
    sizes = [group[0].field.rgbsigma.shape[0] for group in swept(ball(12))]
    assert sizes == sorted(sizes)
    assert all(group[0].bytes <= group[-1].bytes for group in swept(ball(12)))


def test_tables_show_factors(tmp_path: Path):
    row = {"asset": "a", "cells": [8, 8, 8], "bytes": 100, "psnr": 27.1, "encode_cpu_s": 1.0, "decode_cpu_s": 0.1}
    row |= {"peak_bytes": 1e8, "half_floats": 5000, "eight_bits": 2000, "peer": "4 bits, 1/2", "peer_bytes": 700}
    text = fields.table([row | {"peer_psnr": 27.5}])
    assert "| 5000 B (50 x) | 2000 B (20 x) | 700 B (4 bits, 1/2) | 27.50 | 7.0 x |" in text
    (tmp_path / "results.jsonl").write_text(json.dumps(row | {"peer_psnr": 27.5, "quality": None}) + "\n")
    assert fields.main([str(tmp_path), "-o", str(tmp_path)]) == 0
    assert "| a | 8 x 8 x 8 | 100 B |" in (tmp_path / "default-options.md").read_text()
