"""How far the paper's code of 770 numbers shrinks: bytes against latent error, on a synthetic pair.

    python tests/pairs/study_rates.py OUT [--code-size 770] [--steps 3000] [--samples 6000]

No published checkpoint takes part. The pair is made of fixed random networks: a generator latent of 12,288 numbers
that 256 independent factors decide, and an encoder that sees it through another random network, so that a trained
mapping of the paper's architecture has an error of its own, as the published ones do. Prints a Markdown table:
latent error with the code as fp32 and at each rate, for the standard model that knows nothing of the codes and for a
fitted one.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.codecs.pairs.spec import Files, PairSpec
from squeeze3d.codecs.spec import Kind

if TYPE_CHECKING:
    import torch

FACTORS = 256
LATENT = (3, 16, 16, 16)
TOKENS = (257, 16)


@cache
def _weights() -> tuple[NDArray[np.float32], ...]:
    random = np.random.default_rng(11)
    # Factors matter unequally, as directions of real latents do.
    scales = (1 / np.arange(1, FACTORS + 1) ** 0.5)[:, None]
    size, tokens = int(np.prod(LATENT)), int(np.prod(TOKENS))
    shapes = ((FACTORS, 1024), (1024, size), (size, 512), (512, tokens))
    first, *rest = (random.normal(size=shape) / shape[0] ** 0.5 for shape in shapes)
    return tuple(np.asarray(each, dtype=np.float32) for each in (first * scales * FACTORS**0.5 / 2, *rest))


class Random:
    """Encoder and generator in one; the asset in between only carries the latent."""

    def draw(self, count: int, seed: int) -> torch.Tensor:
        import torch

        first, second, _, _ = _weights()
        factors = np.random.default_rng(seed).normal(size=(count, FACTORS)).astype(np.float32)
        return torch.from_numpy((np.tanh(factors @ first) @ second).reshape(count, *LATENT))

    def generate(self, latent: torch.Tensor) -> RadianceField:
        grid = latent.numpy().reshape(16, 16, 12, 4)
        corner = np.ones(3, dtype=np.float32)
        return RadianceField(grid, -corner, corner)

    def prepare(self, asset: RadianceField) -> NDArray[np.float32]:
        return asset.rgbsigma.reshape(1, -1)

    def encode(self, prepared: NDArray[np.float32]) -> torch.Tensor:
        import torch

        _, _, third, fourth = _weights()
        return torch.from_numpy((np.tanh(2 * prepared @ third) @ fourth).reshape(1, *TOKENS))


def _load(files: Files, device: str) -> Random:
    return Random()


PAIR = PairSpec(
    id="field.random",
    wire=248,
    summary="fixed random networks",
    kind=Kind.FIELD,
    encoder_shape=TOKENS,
    generator_shape=LATENT,
    code_size=770,
    architecture="residual-mlp",
    mapping="random-mapping",
    code=None,
    load_encoder=_load,
    load_generator=_load,
)


def main() -> None:
    """Run the study."""
    import torch

    from squeeze3d.mapping.code_model import CodeModel
    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.presets import preset
    from squeeze3d.training.rates import fit_code_model, measure_rates
    from squeeze3d.training.synthesis import describe, draw_dataset
    from squeeze3d.training.trainer import RunConfig, train_mapping

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--code-size", type=int, default=PAIR.code_size)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--samples", type=int, default=6000)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    pair = dataclasses.replace(PAIR, code_size=arguments.code_size)
    description = describe(pair, arguments.samples)
    draw_dataset(pair, arguments.out / "data", description, lambda: (Random(), Random()))
    data = LatentPairs(arguments.out / "data")
    recipe = dataclasses.replace(preset("default"), optimiser="adam", lr=1e-3, dropout=0.1)
    config = RunConfig(recipe, steps=arguments.steps, device="cpu")
    run = train_mapping(
        pair, data, arguments.out / "run", config, progress=lambda tick: [print(e) for e in tick.entries]
    )
    print(f"\n{arguments.samples} samples, code of {pair.code_size} numbers ({4 * pair.code_size} bytes as fp32).")
    print(f"Latent error with the code as fp32: {100 * run.latent_error:.3f} % of the latents' variance.\n")
    print("| code model | bits a number | bytes | latent error | increase |\n|---|---:|---:|---:|---:|")
    rates = (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4)
    fitted, _ = fit_code_model(pair, data, run.mapping, rates=rates)
    for name, model in (("standard", CodeModel.standard(pair.code_size)), ("fitted", fitted)):
        for row in measure_rates(pair, data, run.mapping, model)[1]:
            print(
                f"| {name} | {row.bits_per_dimension:.2f} | {row.bytes:.0f} | {100 * row.latent_error:.3f} % "
                f"| {100 * row.increase:+.2f} % |"
            )


if __name__ == "__main__":
    main()
