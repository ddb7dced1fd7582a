"""What a learned residual per surface cell adds over the scalar of `mesh.lite`, at equal bits.

    python tests/codecs/lite/study_residual.py DATA OUT [--steps 1500] [--seeds 2]

DATA is a folder of packed meshes (`squeeze3d.training.lite_data`). OUT receives `residual.md`, `residual.json` and a
file for each run, so that a study goes on where it was stopped.

```text
scalars ──────────────────────────────────────────────────────────────────────┬─► field network ─► 64 distances
distances of a surface cell, ─► encoder ─► K numbers ─► round ─► of 27 cells ─┘
error of the shipped network                                └─► bits: logistic, mean and width from structure,
                                                                      scalars and earlier codes
```

All arms start at the shipped field network and see the same cells for the same number of steps. Cells come in small
blocks with a border of one cell, so that a cell sees the codes of its neighbours as it sees their scalars. Codes are
sent in the eight passes of the scalars. Scalars cost what the shipped integer network asks for; codes cost ideal bits
of distributions in floats, which favours them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squeeze3d.codecs.lite.cells import MARGIN, mixed_flags, surface_flags
from squeeze3d.codecs.lite.context_net import cascade_bits
from squeeze3d.codecs.lite.field_net import OUTPUTS, embedded_network
from squeeze3d.codecs.lite.patches import NEAR, SCALARS, STRUCTURE_COLUMNS, moved, symmetries
from squeeze3d.codecs.lite.scalars import PASSES, embedded_scalar_net
from squeeze3d.codecs.lite.steps import STEPS, SYMBOLS
from squeeze3d.codecs.lite.structure import structure_bits
from squeeze3d.mapping.diagnostics import diagnose
from squeeze3d.mapping.losses import GramForm, gram_loss
from squeeze3d.training.lite_data import UNIT, Field, LiteData, Split
from squeeze3d.training.lite_field import BOXES_FULL, CLIP, FieldModel, Recipe, field_loss, make_columns
from squeeze3d.training.lite_patches import NEAR_EMPTY, Pool, gather, join, sub_cell_order
from squeeze3d.training.lite_scalars import samples

AROUND = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
"""Cells whose codes a cell sees."""
CORE, BORDER = 2, 1
"""A block decodes cells up to 2 away from its middle, and has codes of cells up to 3 away."""
BLOCKS = {32: 6, 64: 8}
"""Blocks of each object to train on, by resolution."""
VALIDATION_BLOCKS = {32: 3, 64: 4}
OBJECTS = {32: 500, 64: 300}
"""Objects to train on, at most."""
BATCH = 16
"""Blocks in a batch, about 600 decoded cells."""
QUALITIES = (0.0, 1.0, 2.0, 3.0, 4.0)
WORST_PRICE = 0.08
"""Loss that a bit may cost at quality 0 over scalars, four times that without; it halves with each quality. Between the
steps 0.3 and 0.15 of the scalars a bit buys about 0.04."""
FREE, RISEN = 0.1, 0.3
"""Shares of the steps: bits are free at first, so that codes find a use, then the price rises to the full one."""
PRIOR_WEIGHT = 0.05
"""Weight of the bits for the network that predicts codes: it learns at the same pace whatever the price."""
OTHER_STEPS = (0.2, 0.12, 0.04)
"""Steps of the scalars that the codec does not have, so that codes are not compared with a ladder of few rungs. Stored
distances are multiples of 0.04."""
GRAM_WEIGHT = 0.01
GRAM_CODES = 256
"""Codes of a batch that the gram term sees."""

Row = dict[str, float]
"""Figures of one operating point."""

_MIDDLE = len(SCALARS) // 2
_TURNS = list(symmetries())
_PLACE = np.full((2, 2, 2), 0)
for _number, _parity in enumerate(PASSES):
    _PLACE[_parity] = _number


@dataclass(frozen=True)
class Arm:
    """One way to spend bits."""

    name: str
    size: int = 0
    """Numbers of the code; 0 without."""
    steps: tuple[float, ...] = STEPS[1:]
    """Steps of the scalars; 0: none."""
    gram: bool = False
    """Whether equation 4 keeps the numbers apart."""
    seeds: int = 2
    """Runs, at most."""


ARMS = (
    Arm("scalar", steps=(*STEPS, *OTHER_STEPS)),
    Arm("scalar + 1", 1, seeds=1),
    Arm("scalar + 3", 3),
    Arm("scalar + 3, gram", 3, gram=True, seeds=1),
    Arm("3 alone", 3, steps=(0.0,), seeds=1),
)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Cells of blocks, block by block."""

    cells: Pool
    before: NDArray[np.int8]
    """(N, 4, 64) distances as the shipped network gives them by step index, in hundredths of a cell."""
    neighbours: NDArray[np.int64]
    """(N, 27) rows of the cells around; -1 where there is no surface cell in the block."""
    parity: NDArray[np.int64]
    """(N, 3) coordinates modulo 2."""
    core: NDArray[np.bool_]
    """(N,) whether the cell is decoded, or lends its code only."""
    starts: NDArray[np.int64]
    """First row of each block, and the number of rows."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def surface(self) -> NDArray[np.bool_]:
        """(N,) which cells carry scalar and code."""
        own: NDArray[np.bool_] = self.cells.surface[:, _MIDDLE]
        return own

    def take(self, block: int, symmetry: int = 0) -> Blocks:
        """One block, turned."""
        start, end = (int(row) for row in self.starts[block : block + 2])
        matrix = _TURNS[symmetry]
        rows = slice(start, end)
        neighbours = self.neighbours[rows][:, moved(AROUND, matrix)]
        return Blocks(
            self.cells.take(np.arange(start, end), symmetry),
            self.before[rows][:, :, sub_cell_order(symmetry)],
            np.where(neighbours < 0, -1, neighbours - start),
            self.parity[rows] @ np.abs(matrix.T),
            self.core[rows],
            np.array([0, end - start]),
        )

    def known(self) -> NDArray[np.bool_]:
        """(N, 27) which cells around are of an earlier pass and have a code."""
        place = _PLACE[tuple(self.parity.T)]
        around = _PLACE[tuple(((self.parity[:, None] + AROUND) & 1).transpose(2, 0, 1))]
        return (around < place[:, None]) & (self.neighbours >= 0)


def join_blocks(parts: Sequence[Blocks]) -> Blocks:
    """All blocks of several sets."""
    counts = np.cumsum([0] + [len(part.core) for part in parts])
    shifted = [np.where(p.neighbours < 0, -1, p.neighbours + n) for p, n in zip(parts, counts, strict=False)]
    starts = [part.starts[:-1] + n for part, n in zip(parts, counts, strict=False)]
    return Blocks(
        join(part.cells for part in parts),
        np.concatenate([part.before for part in parts]),
        np.concatenate(shifted),
        np.concatenate([part.parity for part in parts]),
        np.concatenate([part.core for part in parts]),
        np.concatenate([*starts, counts[-1:]]),
    )


def blocks_of(field: Field, count: int, rng: np.random.Generator, start: nn.Module) -> Iterator[Blocks]:
    """At most `count` blocks of one object, around random surface cells."""
    mixed = mixed_flags(field.occupied)
    cells = np.argwhere(mixed) - MARGIN
    surface = np.pad(surface_flags(field.occupied), MARGIN)[mixed]
    decoded = np.pad(field.occupied, MARGIN)[mixed] | (field.fine.min(axis=1) < NEAR_EMPTY / UNIT)
    for middle in rng.permutation(np.flatnonzero(surface))[:count]:
        away = np.abs(cells - cells[middle]).max(axis=1)
        rows = np.flatnonzero(np.where(away > CORE, (away <= CORE + BORDER) & surface, decoded))
        own = gather(field.occupied, field.centres, cells[rows], field.fine[rows])
        before = [start(torch.from_numpy(make_columns(own, step))).clamp(-CLIP, CLIP) for step in STEPS]
        place = {tuple(cell): row for row, cell in enumerate(cells[rows].tolist()) if surface[rows[row]]}
        around = (cells[rows][:, None] + AROUND).reshape(-1, 3).tolist()
        neighbours = np.array([place.get(tuple(cell), -1) for cell in around]).reshape(-1, len(AROUND))
        yield Blocks(
            own,
            np.rint(100 * torch.stack(before, dim=1).numpy()).astype(np.int8),
            neighbours,
            cells[rows] & 1,
            away[rows] <= CORE,
            np.array([0, len(rows)]),
        )


@torch.no_grad()
def load_blocks(data: LiteData, split: Split, resolution: int, objects: int | None = None) -> Blocks:
    """Blocks of the objects of a split, the same at each call."""
    rng, start = np.random.default_rng(resolution), shipped_field()
    count = (BLOCKS if split == "train" else VALIDATION_BLOCKS)[resolution]
    found = itertools.islice(data.fields(resolution, split), objects)
    return join_blocks([part for field in found for part in blocks_of(field, count, rng, start)])


def shipped_field() -> FieldModel:
    """The network that ships with the program, to be trained on."""
    layers = embedded_network().layers
    model = FieldModel(len(layers[0][1]), len(layers) - 2)
    with torch.no_grad():
        for number, (layer, (matrix, bias)) in enumerate(zip(model.layers, layers, strict=True)):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(torch.from_numpy(matrix.T))
            layer.bias.copy_(torch.from_numpy(bias))
            if not number:
                layer.weight[:, len(NEAR) : STRUCTURE_COLUMNS] *= BOXES_FULL
    return model


@dataclass(frozen=True, eq=False)
class Batch:
    """Blocks as the networks take them. `N` cells, of which `M` are decoded."""

    columns: Tensor
    """(N, 563) inputs of the field network."""
    truth: Tensor
    """(N, 64) distances in cells."""
    error: Tensor
    """(N, 64) what the shipped network leaves of them."""
    scalars: Tensor
    """(N, 1) quantised scalars in steps; 0 where there are none."""
    step: Tensor
    """(N, 1)."""
    quality: Tensor
    """(N, 1)."""
    neighbours: Tensor
    """(N, 27); N where there is none."""
    known: Tensor
    """(N, 27) of an earlier pass."""
    surface: Tensor
    """(N,)."""
    core: Tensor
    """(N,)."""


def make_batch(parts: Sequence[tuple[Blocks, float, float]]) -> Batch:
    """Networks' view of blocks, each with its step and quality."""
    whole = join_blocks([part for part, _, _ in parts])
    columns = np.concatenate([make_columns(part.cells, step) for part, step, _ in parts])
    each = np.array([(step, quality) for _, step, quality in parts], dtype=np.float32)
    steps, qualities = np.repeat(each, [len(part.core) for part, _, _ in parts], axis=0).T[:, :, None]
    truth = np.clip(whole.cells.fine * np.float32(UNIT), -CLIP, CLIP)
    # Steps that the codec does not have are for an arm without codes, which does not look at the error.
    index = [STEPS.index(step) if step in STEPS else 0 for _, step, _ in parts]
    before = np.concatenate([part.before[:, i] for (part, _, _), i in zip(parts, index, strict=True)])
    own = columns[:, STRUCTURE_COLUMNS + _MIDDLE, None]
    arrays = {
        "columns": columns,
        "truth": whole.cells.fine * np.float32(UNIT),
        "error": truth - before.astype(np.float32) / 100,
        "scalars": np.rint(own / np.where(steps > 0, steps, 1)),
        "step": steps,
        "quality": qualities,
        "neighbours": np.where(whole.neighbours < 0, len(whole.core), whole.neighbours),
        "known": whole.known(),
        "surface": whole.surface,
        "core": whole.core,
    }
    return Batch(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Layers with ReLU between them; all outputs are 0 at the start."""
    widths = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    last = layers[-2]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


class Codes(nn.Module):
    """Encoder and probabilities of codes of K numbers.

    The encoder is `W error + MLP(truth, error, step, quality)`; W starts at the K principal directions of the errors.
    """

    def __init__(self, directions: Tensor, width: int) -> None:
        super().__init__()
        self.size = len(directions)
        self.linear = nn.Parameter(directions.clone())
        self.bent = mlp(2 * OUTPUTS + 2, (160, 96), self.size)
        # Codes in steps are e^(level + slope quality) times those that the encoder gives.
        self.level = nn.Parameter(torch.full((self.size,), -0.7))
        self.slope = nn.Parameter(torch.full((self.size,), 0.35))
        self.prior = Prior(self.size, width)

    def gain(self, batch: Batch) -> Tensor:
        """(N, K) quantisation steps to a unit."""
        return torch.exp(self.level + self.slope * batch.quality)

    def encode(self, batch: Batch) -> Tensor:
        """(N, K) numbers of a variance of about 1; 0 in cells that carry none."""
        rows = torch.nonzero(batch.surface)[:, 0]
        truth, error = batch.truth[rows].clamp(-CLIP, CLIP), batch.error[rows]
        inputs = torch.cat([4 * truth, 10 * error, batch.step[rows], batch.quality[rows] / 5], dim=1)
        codes = (error @ self.linear.T + self.bent(inputs)).float()
        return codes.new_zeros(len(batch.surface), self.size).index_copy(0, rows, codes)


class Prior(nn.Module):
    """Bits of whole numbers, K for each cell, by logistic distributions.

    It sees what the field network makes of a cell without codes: nothing that short a training finds is better.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.net = mlp(width + len(AROUND) * (size + 1) + 2, (128, 64), 2 * size)

    def forward(self, values: Tensor, scale: Tensor, batch: Batch, rows: Tensor, hidden: Tensor) -> Tensor:
        """(R,) bits of some rows.

        Parameters
        ----------
        values : (N, K) whole numbers, or noisy ones.
        scale : (N, K) about how large they are.
        hidden : (R, H) last hidden layer of the field network.
        """
        known = batch.known[rows]
        earlier = around(values / scale, batch.neighbours[rows]) * known[..., None]
        view = nn.functional.layer_norm(hidden.float(), hidden.shape[1:])
        inputs = [view, earlier.flatten(1), known.float(), batch.step[rows], batch.quality[rows] / 5]
        mean, width = self.net(torch.cat(inputs, dim=1)).float().chunk(2, dim=1)
        widths = torch.exp(width.clamp(-6, 4)) * scale[rows] / 2
        return interval_bits(values[rows], mean * scale[rows], widths).sum(dim=1)


def interval_bits(values: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    """Bits of the interval of length 1 around each value."""
    # On the side where the tail is: differences of numbers close to 1 would be rounding noise.
    distance = (values - mean).abs()
    share = torch.sigmoid((0.5 - distance) / width) - torch.sigmoid((-0.5 - distance) / width)
    return -torch.log2(share.clamp_min(1e-9))


def around(codes: Tensor, neighbours: Tensor) -> Tensor:
    """(M, 27, K) codes around cells; 0 where there is none."""
    return torch.cat([codes, codes.new_zeros(1, codes.shape[1])])[neighbours]


class Study(nn.Module):
    """All networks of one arm."""

    def __init__(self, arm: Arm, directions: Tensor) -> None:
        super().__init__()
        self.arm = arm
        self.field = shipped_field()
        width = len(embedded_network().layers[0][1])
        self.codes = Codes(directions[: arm.size], width) if arm.size else None
        if arm.size:
            # New columns of the first layer, and a way past the network: the start is a transform code of the errors.
            self.extra = nn.Linear(len(AROUND) * arm.size + 1, width, bias=False)
            nn.init.zeros_(self.extra.weight)
            self.past = nn.Linear(arm.size, OUTPUTS, bias=False)
            with torch.no_grad():
                self.past.weight.copy_(torch.linalg.pinv(directions[: arm.size]))
        # Ideal bits of the scalars themselves, as a measure of what this kind of prior can do in as many steps.
        self.scalar_prior = None if arm.size else Prior(1, width)

    def forward(
        self, batch: Batch, *, noise: bool = False, pull: float | Tensor = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (M, 64), ideal bits (R,) of the decoded surface cells, codes (N, K).

        Parameters
        ----------
        noise : whether bits are those of codes with noise instead of rounding, which have a gradient. The field network
            sees rounded codes, with the gradient of the identity.
        pull : factor of the gradient of the bits on its way into the codes.
        """
        wanted = torch.nonzero(batch.core)[:, 0]
        sending = torch.nonzero(batch.core & batch.surface)[:, 0]
        if self.codes is None:
            assert self.scalar_prior is not None
            columns = batch.columns[sending].clone()
            columns[:, STRUCTURE_COLUMNS:] = 0
            scale = 0.2 / torch.where(batch.step > 0, batch.step, 1)
            bits = self.scalar_prior(batch.scalars, scale, batch, sending, self._view(columns))
            return self.field(batch.columns[wanted]), bits, batch.scalars
        codes = self.codes.encode(batch)
        gain = self.codes.gain(batch)
        exact = codes * gain
        whole = exact + (torch.round(exact) - exact).detach()
        noisy = exact + (torch.rand_like(exact) - 0.5) * batch.surface[:, None]
        priced = noisy if noise else whole
        view = self._view(batch.columns[sending])
        bits = self.codes.prior(_pulled(priced, pull), _pulled(gain, pull), batch, sending, view)
        inputs = torch.cat(
            [around(whole / gain, batch.neighbours[wanted]).flatten(1), batch.quality[wanted] / 5], dim=1
        )
        hidden = self._hidden(batch.columns[wanted], self.extra(inputs))
        return self.field.layers[-1](hidden) + self.past((whole / gain)[wanted]), bits, codes

    def _hidden(self, columns: Tensor, more: Tensor | float = 0.0) -> Tensor:
        """(M, H) last hidden layer of the field network."""
        hidden = torch.relu(self.field.layers[0](columns) + more)
        for layer in self.field.layers[1:-1]:
            hidden = hidden + torch.relu(layer(hidden))
        return hidden

    @torch.no_grad()
    def _view(self, columns: Tensor) -> Tensor:
        return self._hidden(columns)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Distortion, price of the bits and gram term."""
        worst = WORST_PRICE * (1 if self.arm.steps[0] else 4) * min(1.0, max(0.0, (progress - FREE) / (RISEN - FREE)))
        found, bits, codes = self(batch, noise=True, pull=worst * torch.exp2(-batch.quality) / PRIOR_WEIGHT)
        sending = batch.core & batch.surface
        if self.codes is None:
            bits = bits * (batch.step[sending, 0] > 0)
        wanted = batch.core
        total = field_loss(found.float(), batch.truth[wanted], Recipe()) + PRIOR_WEIGHT * bits.sum() / wanted.sum()
        if self.arm.gram:
            some = codes[torch.nonzero(sending)[:GRAM_CODES, 0]]
            # Of more codes than numbers no more can be asked than what this factor makes of equation 4: numbers of unit
            # variance without correlation.
            total = total + GRAM_WEIGHT * gram_loss(some / len(some) ** 0.5, GramForm.FROBENIUS)
        return total


def _pulled(values: Tensor, factor: float | Tensor) -> Tensor:
    """The same values, with their gradient times a factor."""
    fixed = values.detach()
    return fixed + (values - fixed) * factor


def train(arm: Arm, blocks: Blocks, directions: Tensor, steps: int, seed: int) -> Study:
    """One run. The blocks, their turns and qualities are those of every other run of the seed."""
    torch.manual_seed(seed)
    study = Study(arm, directions)
    old = list(study.field.parameters())
    new = [p for name, p in study.named_parameters() if not name.startswith("field.")]
    optimiser = torch.optim.AdamW([{"params": old, "top": 4e-4}, {"params": new, "top": 2e-3}], weight_decay=1e-4)
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        chosen = rng.integers(len(blocks), size=BATCH)
        turns, qualities, picks = rng.integers(48, size=BATCH), rng.uniform(0, QUALITIES[-1], BATCH), rng.random(BATCH)
        batch = make_batch(
            [
                (blocks.take(int(block), int(turn)), arm.steps[int(pick * len(arm.steps))], float(quality))
                for block, turn, quality, pick in zip(chosen, turns, qualities, picks, strict=True)
            ]
        )
        progress = step / steps
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * min(1.0, (step + 1) / 100, 1.5 * (1 - progress))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = study.loss(batch, progress)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimiser.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimiser.step()
    return study.eval()


def principal_directions(blocks: Blocks, arm: Arm, count: int) -> Tensor:
    """(count, 64) main directions of what the shipped network gets wrong, such that codes have unit variance."""
    steps = [STEPS.index(step) for step in arm.steps if step in STEPS]
    rows = np.flatnonzero(blocks.surface)[:60_000]
    truth = np.clip(blocks.cells.fine[rows] * UNIT, -CLIP, CLIP)
    errors = np.concatenate([truth - blocks.before[rows, index] / 100 for index in steps])
    values, vectors = np.linalg.eigh(errors.T @ errors / len(errors))
    return torch.from_numpy((vectors[:, ::-1] / np.sqrt(values[::-1]))[:, :count].T.astype(np.float32).copy())


@torch.no_grad()
def measure(study: Study, blocks: Blocks, scalar_bits: dict[float, float]) -> list[Row]:
    """Bits and errors of held-back blocks at each step and quality.

    Bits are for each surface cell. `l1` and `near` are errors in cells, `near` within 0.3 cells of the surface, `sign`
    is the share of samples on the wrong side. `d_eff`, `condition` and `correlation` are of codes in quantisation steps
    before rounding, `used` is how many numbers are not always 0 behind it.
    """
    rows = []
    qualities = QUALITIES if study.arm.size else (0.0,)
    for step, quality in itertools.product(study.arm.steps, qualities):
        errors, near, wrong, bits, codes = [], [], [], [], []
        for first in range(0, len(blocks), 64):
            chosen = range(first, min(first + 64, len(blocks)))
            batch = make_batch([(blocks.take(block), step, quality) for block in chosen])
            found, cost, code = study(batch)
            truth = batch.truth[batch.core]
            error = (found.clamp(-CLIP, CLIP) - truth.clamp(-CLIP, CLIP)).abs()
            errors.append(error.mean(dim=1))
            near.append(error[truth.abs() < CLIP / 2])
            wrong.append(((found < 0) != (truth < 0)).float().mean(dim=1))
            bits.append(cost)
            if study.codes is not None:
                code = code * study.codes.gain(batch)
            codes.append(code[batch.core & batch.surface])
        ideal = float(torch.cat(bits).mean())
        row = {
            "step": step,
            "quality": quality,
            "ideal": ideal,
            "l1": float(torch.cat(errors).mean()),
            "near": float(torch.cat(near).mean()),
            "sign": float(torch.cat(wrong).mean()),
        }
        if study.arm.size:
            row["bits"] = scalar_bits[step] + ideal
            values = torch.cat(codes).double().numpy()
            row["used"] = int((np.rint(values) != 0).any(axis=0).sum())
            figures = diagnose(values)
            row["d_eff"], row["condition"] = figures.centred_effective_rank, figures.condition_number
            row["correlation"] = _correlation(values)
        else:
            row["bits"] = scalar_bits.get(step, ideal)
        rows.append(row)
    if not study.arm.size:
        # Other steps: ideal bits, less what the prior, trained for a short time, asks too much at the codec's steps.
        known = sorted((row["step"], row["bits"] - row["ideal"]) for row in rows if row["step"] in STEPS[1:])
        for row in rows:
            if row["step"] in OTHER_STEPS:
                row["bits"] += float(np.interp(row["step"], *np.array(known).T))
    return rows


def _correlation(codes: NDArray[np.float64]) -> float:
    """Mean absolute correlation between different numbers of a code."""
    if codes.shape[1] < 2:
        return 0.0
    matrix = np.abs(np.corrcoef(codes.T))
    return float((matrix.sum() - len(matrix)) / (matrix.size - len(matrix)))


def shipped_bits(blocks: Blocks) -> dict[float, float]:
    """Bits for each surface cell of the scalars by step, as the shipped network codes them."""
    cells = blocks.cells.take(np.flatnonzero(blocks.core & blocks.surface))
    net, result = embedded_scalar_net(), {0.0: 0.0}
    for index in range(1, len(STEPS)):
        bits = []
        for number in range(len(PASSES)):
            inputs, symbols = samples(cells, number, index)
            bits.append(cascade_bits(symbols, net.choose(inputs), SYMBOLS[index]).mean())
        result[STEPS[index]] = float(np.mean(bits))
    return result


def structure_prices(data: LiteData) -> dict[int, dict[str, float]]:
    """Of held-back objects that both grids hold: bits of the structure for each surface cell, and surface cells."""
    grids = {size: {grid.name: grid.occupied for grid in data.structures(size, "validation")} for size in BLOCKS}
    names = sorted(set.intersection(*map(set, grids.values())))
    result = {}
    for size, found in grids.items():
        cells = sum(int(surface_flags(found[name]).sum()) for name in names)
        result[size] = {"bits": sum(structure_bits(found[name]) for name in names) / cells, "cells": cells}
    return result


def hull(rows: Sequence[Row], figure: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bits and errors of the lower convex hull of operating points, errors falling."""
    points = sorted((row["bits"], row[figure]) for row in rows)
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point[1] >= kept[-1][1]:
            continue
        while len(kept) > 1 and _above(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    bits, errors = np.array(kept).T
    return bits, errors


def _above(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


BUDGETS = (0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5)
"""Bits for each surface cell at which errors are compared."""
TOTALS = (1.5, 2.0, 2.5, 3.0, 3.5)
"""The same with the structure, for each surface cell of grid 32."""


def errors_at(rows: Sequence[Row], figure: str, budgets: Sequence[float] = BUDGETS) -> list[float]:
    """Errors at budgets, between points of the hull; NaN outside of it."""
    bits, errors = hull(rows, figure)
    return [float(e) for e in np.interp(budgets, bits, errors, left=np.nan, right=np.nan)]


def bits_for(rows: Sequence[Row], figure: str, wanted: Sequence[float]) -> list[float]:
    """Bits at which the hull reaches errors; NaN outside of it."""
    bits, errors = hull(rows, figure)
    return [float(b) for b in np.interp(wanted, errors[::-1], bits[::-1], left=np.nan, right=np.nan)]


def table(head: Sequence[str], rows: Sequence[tuple[str, NDArray[np.float64]]], digits: int) -> list[str]:
    """Markdown of (name, (runs, columns)): mean, and half the range over the runs where there are several."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, values in rows:
        mean, spread = values.mean(axis=0), np.ptp(values, axis=0) / 2
        notes = [f" ± {s:.{digits}f}" if len(values) > 1 else "" for s in spread]
        cells = [f"{m:.{digits}f}{note}" if np.isfinite(m) else "" for m, note in zip(mean, notes, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def across_grids(results: dict[str, Any]) -> list[tuple[str, NDArray[np.float64]]]:
    """Errors at `TOTALS` of each arm on grid 32, and of scalars on grid 64."""
    coarse, fine = results["structure"]["32"], results["structure"]["64"]
    more = fine["cells"] / coarse["cells"]
    rows = []
    for size, arm in (*(("32", arm) for arm in ARMS), ("64", ARMS[0])):
        finer = size == "64"
        budgets = [b / more - fine["bits"] if finer else b - coarse["bits"] for b in TOTALS]
        runs = [run["rows"][size] for run in results["runs"] if run["arm"] == arm.name]
        if runs:
            errors = np.array([errors_at(found, "l1", budgets) for found in runs])
            rows.append((f"grid {size}, {arm.name}", 1e3 * errors / (2 if finer else 1)))
    return rows


def report(results: dict[str, Any]) -> str:
    """The tables in Markdown."""
    lines: list[str] = []
    for size in map(str, BLOCKS):
        runs = {arm.name: [run["rows"][size] for run in results["runs"] if run["arm"] == arm.name] for arm in ARMS}
        runs = {name: rows for name, rows in runs.items() if rows}
        for figure, title, scale in (
            ("l1", "distance error in thousandths of a cell", 1e3),
            ("sign", "wrong side, %", 100),
        ):
            values = [
                (name, scale * np.array([errors_at(rows, figure) for rows in found])) for name, found in runs.items()
            ]
            lines += ["", f"Grid {size}, {title}, at equal bits for each surface cell:", ""]
            lines += table(["bits", *(f"{b:g}" for b in BUDGETS)], values, 2)
        wanted = [{row["step"]: row["l1"] for row in rows} for rows in runs.get(ARMS[0].name, [])]
        steps = (*STEPS[1:], 0.12)
        needed = [
            (
                name,
                np.array([bits_for(rows, "l1", [w[s] for s in steps]) for rows, w in zip(found, wanted, strict=False)]),
            )
            for name, found in runs.items()
        ]
        lines += ["", f"Grid {size}, bits for the distance error of scalars alone at each step:", ""]
        lines += table(["step", *(f"{s:g}" for s in steps)], needed, 3)
    lines += [
        "",
        "Distance error in thousandths of a cell of grid 32, at equal bits for each of its surface cells, with ",
    ]
    lines[-1] += "structure:"
    lines += ["", *table(["bits", *(f"{b:g}" for b in TOTALS)], across_grids(results), 2)]
    names = ("step", "quality", "bits", "ideal", "l1", "near", "sign", "used", "d_eff", "condition", "correlation")
    for size in map(str, BLOCKS):
        lines += ["", f"Operating points, grid {size}, seed 0:", "", "| arm | " + " | ".join(names) + " |"]
        lines.append("|---" + "|---:" * len(names) + "|")
        for run in results["runs"]:
            if not run["seed"]:
                for row in run["rows"][size]:
                    lines.append(
                        f"| {run['arm']} | " + " | ".join(f"{row[n]:.4g}" if n in row else "" for n in names) + " |"
                    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--objects", type=int, help="to train on, at each resolution")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    arguments.out.mkdir(parents=True, exist_ok=True)

    data = LiteData(arguments.data)
    train_blocks: Blocks | None = None
    held = {size: load_blocks(data, "validation", size) for size in BLOCKS}
    prices = {size: shipped_bits(blocks) for size, blocks in held.items()}
    counts = {size: int(blocks.core.sum()) for size, blocks in held.items()}
    results: dict[str, Any] = {"steps": arguments.steps, "held_cells": counts, "scalar_bits": prices}
    results |= {"structure": structure_prices(data), "runs": []}
    print(results, flush=True)
    for seed, arm in itertools.product(range(arguments.seeds), ARMS):
        if seed >= arm.seeds:
            continue
        path = arguments.out / f"run-{ARMS.index(arm)}-{seed}-{arguments.steps}.json"
        if not path.exists():
            train_blocks = train_blocks or join_blocks(
                [load_blocks(data, "train", size, arguments.objects or OBJECTS[size]) for size in BLOCKS]
            )
            started = time.process_time()
            directions = principal_directions(train_blocks, arm, max(1, arm.size))
            study = train(arm, train_blocks, directions, arguments.steps, seed)
            seconds = round(time.process_time() - started)
            rows = {str(size): measure(study, blocks, prices[size]) for size, blocks in held.items()}
            path.write_text(json.dumps({"arm": arm.name, "seed": seed, "seconds": seconds, "rows": rows}, indent=1))
            print(f"seed {seed}, {arm}: {seconds} s to train, {time.process_time() - started:.0f} s in all", flush=True)
        results["runs"].append(json.loads(path.read_text()))
        # As the file has it: keys are strings.
        results = json.loads(json.dumps(results))
        (arguments.out / "residual.json").write_text(json.dumps(results, indent=1))
        (arguments.out / "residual.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
