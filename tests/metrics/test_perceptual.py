"""FLIP against its defining properties; LPIPS: when it is available, and that nothing else takes its place."""

from __future__ import annotations

import hashlib
import importlib
import math
import sys
import types

import numpy as np
import pytest

from squeeze3d.errors import UsageError
from squeeze3d.metrics import Unavailable, ViewScores, flip, lpips, perceptual


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    a = np.kron(random.random((2, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.float32)
    return a, np.clip(a + random.normal(0, 0.1, a.shape), 0, 1).astype(np.float32)


class TestFlip:
    def test_equal_views_score_0(self, pair):
        assert flip(pair[0], pair[0]) == ViewScores(0.0, (0.0, 0.0))

    def test_black_and_white_are_near_the_top(self):
        black = np.zeros((1, 32, 32, 3), dtype=np.uint8)
        assert 0.95 < flip(black, black + 255).value <= 1

    def test_value_is_the_mean_of_views(self, pair):
        a, b = pair
        score = flip(a, b)
        assert 0 < score.value < 1
        assert score.value == pytest.approx(np.mean(score.views))
        assert score.views[1] == flip(a[1:], b[1:]).value

    def test_is_symmetric(self, pair):
        assert flip(*pair).value == pytest.approx(flip(*pair[::-1]).value, abs=1e-6)

    @pytest.mark.parametrize("ppd", [20.0, 67.0, 120.0])
    def test_looking_where_views_differ_is_looking_everywhere(self, ppd):
        import flip_evaluator

        a = np.random.default_rng(3).random((1, 120, 150, 3)).astype(np.float32)
        for rows, columns in (
            (slice(50, 60), slice(70, 75)),
            (slice(0, 3), slice(140, 150)),
            (slice(118, 119), slice(0, 80)),
        ):
            b = a.copy()
            b[0, rows, columns] = 0
            whole = flip_evaluator.evaluate(a[0], b[0], "LDR", applyMagma=False, parameters={"ppd": ppd})[1]
            assert flip(a, b, pixels_per_degree=ppd).value == pytest.approx(whole, rel=1e-5)

    def test_bytes_count_as_floats(self, pair):
        a, b = (np.round(i * 255).astype(np.uint8) for i in pair)
        assert flip(a, b).value == pytest.approx(flip(a / 255.0, b / 255.0).value, abs=1e-6)

    def test_a_distant_viewer_sees_less(self, pair):
        assert flip(*pair, pixels_per_degree=200).value < flip(*pair).value < flip(*pair, pixels_per_degree=20).value

    def test_default_is_the_packages_own(self, pair):
        import flip_evaluator

        _, mean, settings = flip_evaluator.evaluate(pair[0][0], pair[1][0], "LDR", applyMagma=False)
        assert settings["ppd"] == pytest.approx(perceptual.PIXELS_PER_DEGREE, rel=1e-6)
        assert flip(*pair).views[0] == pytest.approx(mean, abs=1e-6)

    def test_says_why_it_is_unavailable(self, pair, monkeypatch):
        monkeypatch.setitem(sys.modules, "flip_evaluator", None)
        score = flip(*pair)
        assert isinstance(score, Unavailable)
        assert "flip-evaluator cannot be loaded" in score.reason
        assert score.hint == "pip install flip-evaluator"

    def test_refuses_bad_input(self, pair):
        a, b = pair
        with pytest.raises(UsageError, match="must agree"):
            flip(a, b[:1])
        with pytest.raises(UsageError, match="not finite"):
            flip(a, np.full_like(a, np.nan))
        for wrong in (0, -1, math.nan):
            with pytest.raises(UsageError, match="pixels per degree"):
                flip(a, b, pixels_per_degree=wrong)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty torch cache, and no package that could compute LPIPS."""
    importlib.import_module("torch").hub.set_dir(str(tmp_path / "hub"))
    for name in ("lpips", "torchmetrics", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)
    clear()
    yield tmp_path / "hub" / "checkpoints"
    importlib.import_module("torch").hub._hub_dir = None
    clear()


def clear() -> None:
    for backend in perceptual._BACKENDS:
        backend.build.cache_clear()
    perceptual._intact.cache_clear()


@pytest.fixture
def weights(cache, monkeypatch):
    """A file in the cache whose content fits its name."""
    content = b"stands for the weights"
    name = f"alexnet-owt-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(perceptual, "ALEXNET_WEIGHTS", name)
    cache.mkdir(parents=True)
    (cache / name).write_bytes(content)
    return cache / name


class Recorder:
    """Stands for the network; remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def __call__(self, a, b, **options):
        self.calls.append((a, b, options))
        return (a - b).abs().mean().reshape(1, 1, 1, 1)


def offer_lpips(monkeypatch, network) -> list[dict]:
    """Pretend that the package lpips is installed; returns the settings that networks are built with."""
    built: list[dict] = []

    def build(**options):
        built.append(options)
        if isinstance(network, Exception):
            raise network
        return network

    module = types.ModuleType("lpips")
    module.LPIPS = build
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    return built


def offer_torchmetrics(monkeypatch, network) -> list[dict]:
    built: list[dict] = []

    def build(**options):
        built.append(options)
        return network

    module = types.ModuleType("torchmetrics.image.lpip")
    module.LearnedPerceptualImagePatchSimilarity = build
    monkeypatch.setitem(sys.modules, "torchmetrics", types.ModuleType("torchmetrics"))
    monkeypatch.setitem(sys.modules, "torchmetrics.image", types.ModuleType("torchmetrics.image"))
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", module)
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    return built


class TestLpipsAvailability:
    def test_no_package(self, pair, cache):
        score = lpips(*pair)
        assert score == Unavailable("the package lpips is not installed", "pip install 'squeeze3d[lpips]'")
        assert not score
        assert str(score) == "unavailable: the package lpips is not installed"

    def test_no_torchvision(self, pair, cache, monkeypatch):
        offer_torchmetrics(monkeypatch, Recorder())
        monkeypatch.setitem(sys.modules, "torchvision", None)
        assert lpips(*pair).reason == "the package torchvision is not installed"

    def test_no_weights(self, pair, cache, monkeypatch):
        built = offer_lpips(monkeypatch, Recorder())
        score = lpips(*pair)
        assert isinstance(score, Unavailable)
        assert str(cache / "alexnet-owt-7be5be79.pth") in score.reason
        assert "download.pytorch.org/models/alexnet-owt-7be5be79.pth" in score.hint
        assert built == []  # Building the network would download them.

    def test_damaged_weights(self, pair, weights, monkeypatch):
        built = offer_lpips(monkeypatch, Recorder())
        weights.write_bytes(b"half a download")
        score = lpips(*pair)
        assert isinstance(score, Unavailable)
        assert "wrong checksum" in score.reason
        assert built == []

    def test_broken_packages_name_every_reason(self, pair, weights, monkeypatch):
        offer_lpips(monkeypatch, RuntimeError("operator torchvision::nms does not exist\nat line 3"))
        monkeypatch.setitem(sys.modules, "torchmetrics", types.ModuleType("torchmetrics"))
        monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
        score = lpips(*pair)
        assert isinstance(score, Unavailable)
        assert "lpips cannot be loaded: operator torchvision::nms does not exist; torchmetrics cannot" in score.reason

    def test_second_package_serves_where_the_first_fails(self, pair, weights, monkeypatch):
        network = Recorder()
        offer_torchmetrics(monkeypatch, network)
        offer_lpips(monkeypatch, ImportError("broken"))
        assert isinstance(lpips(*pair), ViewScores)
        assert len(network.calls) == 2

    def test_without_torch_the_cache_follows_the_environment(self, monkeypatch):
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        monkeypatch.setenv("TORCH_HOME", "/a/b")
        assert str(perceptual.torch_checkpoints()) == "/a/b/hub/checkpoints"
        monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", "/c")
        assert str(perceptual.torch_checkpoints()) == "/c/torch/hub/checkpoints"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/d")
        assert str(perceptual.torch_checkpoints()) == "/d/.cache/torch/hub/checkpoints"

    def test_environment_rule_is_torchs_own(self, monkeypatch):
        import torch

        monkeypatch.setenv("TORCH_HOME", "/a/b")
        with_torch = torch.hub.get_dir()
        monkeypatch.delitem(sys.modules, "torch")
        assert str(perceptual.torch_checkpoints().parent) == with_torch


class TestLpipsWiring:
    """The network is a stand-in here: what it is given matters, not what it answers."""

    def test_lpips_gets_planar_unit_images_and_scales_them(self, pair, weights, monkeypatch):
        network = Recorder()
        built = offer_lpips(monkeypatch, network)
        score = lpips(*pair)
        assert built == [{"net": "alex", "version": "0.1", "verbose": False}]
        for k, (x, y, options) in enumerate(network.calls):
            assert options == {"normalize": True}
            np.testing.assert_array_equal(x.numpy(), pair[0][k].transpose(2, 0, 1)[None])
            np.testing.assert_array_equal(y.numpy(), pair[1][k].transpose(2, 0, 1)[None])
        assert len(score.views) == 2
        assert score.value == pytest.approx(np.mean(score.views))

    def test_torchmetrics_gets_the_same(self, pair, weights, monkeypatch):
        network = Recorder()
        built = offer_torchmetrics(monkeypatch, network)
        lpips(*pair)
        assert built == [{"net_type": "alex", "normalize": True}]
        assert [options for _, _, options in network.calls] == [{}, {}]
        np.testing.assert_array_equal(network.calls[0][0].numpy(), pair[0][0].transpose(2, 0, 1)[None])

    def test_network_is_built_once(self, pair, weights, monkeypatch):
        built = offer_lpips(monkeypatch, Recorder())
        lpips(*pair)
        lpips(*pair)
        assert len(built) == 1

    def test_refuses_images_smaller_than_the_network_can_see(self, cache):
        tiny = np.zeros((1, 30, 64, 3), dtype=np.float32)
        with pytest.raises(UsageError, match="64 x 30 pixels are too small: LPIPS needs 31"):
            lpips(tiny, tiny)

    def test_refuses_bad_input_before_looking_for_the_network(self, pair, cache):
        with pytest.raises(UsageError, match="must agree"):
            lpips(pair[0], pair[1][:1])
