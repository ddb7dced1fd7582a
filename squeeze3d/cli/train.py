"""`sq3d train`: networks of embedded codecs; data sets, mapping networks and code models of pairs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squeeze3d.cli import options as shared
from squeeze3d.cli.numbers import parse_real, parse_whole
from squeeze3d.cli.progress import Bar
from squeeze3d.cli.report import Record, Reporter, table
from squeeze3d.cli.streams import native_output_to_stderr, write_stdout
from squeeze3d.cli.terminal import arrow, can_animate, printable
from squeeze3d.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from squeeze3d.codecs.pairs.spec import PairSpec
    from squeeze3d.training.conditioning import Folder
    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.presets import Recipe
    from squeeze3d.training.rates import CodeReport
    from squeeze3d.training.synthesis import Latents
    from squeeze3d.training.trainer import RunConfig, Start, Tick, TrainingResult

HELP = """\
Example: sq3d train mapping --pair points.lion --data latents -o run

Train the mapping between the encoder and the generator of a pair: draw a data set, train the network, fit the
code model that turns its codes into bytes. Every command goes on where it was stopped.
"""
DATASET_HELP = """\
Example: sq3d train dataset --pair mesh.instantmesh --count 10000 -o latents

Draw a data set of latent pairs. The generator draws assets, the encoder reads them; DIR gets both latents of each,
in shards. A sample depends on the seed and its index alone.

\b
Generators that make shapes of pictures are shown views of the meshes in a folder, or pictures; field.nerfmae
takes fields (.npz):
  sq3d train dataset --pair mesh.instantmesh --source meshes --count 10000 -o latents
"""
MAPPING_HELP = """\
Example: sq3d train mapping --pair mesh.instantmesh --data latents -o run --preset instantmesh

Train a mapping network, then fit its code model. RUN gets mapping.safetensors, code.safetensors, checkpoint.pt,
log.jsonl, config.json, rate.json and the plots loss.png and rate.png. The same command again goes on from the
checkpoint. Ctrl-C writes one.

\b
More examples:
  sq3d train mapping --pair points.lion --data latents -o run --steps 2000 --lr 1e-3
  sq3d train mapping --pair points.lion --data latents -o run --quantised 500
"""
CODE_HELP = """\
Example: sq3d train code --pair mesh.instantmesh --data latents --mapping run/mapping.safetensors -o code.safetensors

Fit the code model of a trained mapping network, and measure each of its rates on the validation split. The table
also goes to rate.json next to the output, and rate.png shows it.
"""

AUTOENCODER_HELP = """\
Example: sq3d train autoencoder --codec mesh.lite meshes -o run

Train the networks that ship with the program, for codecs mesh.lite, points.lite and field.lite, on a folder of
meshes (.glb) and procedural shapes. Meshes are packed into RUN/data first. The same command again goes on where it
was stopped; with more --steps it goes on with a finished run.
"""


def _complete_pair(incomplete: str) -> list[str]:
    from squeeze3d.codecs.pairs.registry import pair_names

    return [name for name in pair_names() if name.startswith(incomplete)]


def _complete_preset(incomplete: str) -> list[str]:
    from squeeze3d.training.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


Pair = Annotated[
    str,
    typer.Option("--pair", metavar="ID", help="Pair to train for.", show_default=False, autocompletion=_complete_pair),
]
Data = Annotated[
    str,
    typer.Option("--data", metavar="DIR", help="Data set drawn by `sq3d train dataset`.", show_default=False),
]
Seed = Annotated[str, typer.Option("--seed", metavar="S", help="The same seed gives the same result.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
Rates = Annotated[
    str | None,
    typer.Option(
        "--rates",
        metavar="LIST",
        help="Rates of the code model, as bits per number. [default: 1,1.5,2,2.5,3,4]",
        show_default=False,
    ),
]


def _output(metavar: str, text: str) -> Any:
    return typer.Option("--output", "-o", metavar=metavar, help=text, show_default=False)


def _number(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, show_default=False)


app = typer.Typer(
    cls=shared.PlainGroup,
    help=HELP,
    short_help="Train networks, mappings and code models.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@app.callback()
def root(context: typer.Context) -> None:
    """Train mapping networks and code models."""
    if context.invoked_subcommand is None:
        write_stdout(context.get_help() + "\n")


@app.command(cls=shared.PlainCommand, help=DATASET_HELP, short_help="Draw a data set of latent pairs.")
def dataset(
    pair: Pair,
    count: Annotated[str, _number("--count", "N", "Samples to draw.")],
    output: Annotated[str, _output("DIR", "Folder of the data set.")],
    seed: Seed = "0",
    shard_size: Annotated[
        str, typer.Option("--shard-size", metavar="N", help="Samples per file; what Ctrl-C may lose.")
    ] = "256",
    half: Annotated[bool, typer.Option("--half", help="Store half precision: half the bytes.")] = False,
    source: Annotated[
        str | None,
        _number("--source", "DIR", "Meshes, pictures or fields to make latents from, instead of a prior."),
    ] = None,
    remote_code: Annotated[
        bool, typer.Option("--remote-code", help="Run the code of Zero123++ from its repository, for pictures.")
    ] = False,
    device: Device = "auto",
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Draw a data set of latent pairs."""
    reporter = Reporter("train dataset", as_json=as_json, quiet=quiet, verbose=verbose)
    numbers = (
        parse_whole(count, "--count", 2),
        parse_whole(seed, "--seed", 0),
        parse_whole(shard_size, "--shard-size", 1),
    )
    shown = None if source is None else Path(source)
    return partial(
        _run_dataset,
        reporter,
        pair,
        Path(output),
        *numbers,
        half=half,
        device=device,
        source=shown,
        remote_code=remote_code,
    )


@app.command(cls=shared.PlainCommand, help=MAPPING_HELP, short_help="Train a mapping network.")
def mapping(
    pair: Pair,
    data: Data,
    output: Annotated[str, _output("RUN", "Folder of the run.")],
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Hyperparameters: default, lite for small pairs, or those of a published network: instantmesh, "
            "openlrm, shape, lion-1024, lion-2048, lion-4096, lion-8192, nerfmae. For `--start`: nerfmae-code-only.",
            autocompletion=_complete_preset,
        ),
    ] = "default",
    start: Annotated[
        str | None,
        _number("--start", "FILE", "Go on from a mapping network, such as a published one, not from random weights."),
    ] = None,
    steps: Annotated[str | None, _number("--steps", "N", "Steps in total, instead of the preset's epochs.")] = None,
    epochs: Annotated[str | None, _number("--epochs", "N", "Passes over the training data.")] = None,
    batch_size: Annotated[str | None, _number("--batch-size", "B", "Samples per step and device.")] = None,
    lr: Annotated[str | None, _number("--lr", "X", "Learning rate at the start.")] = None,
    adamw_lr: Annotated[
        str | None, _number("--adamw-lr", "X", "Learning rate of what is not a matrix, with the Muon optimiser.")
    ] = None,
    final_lr: Annotated[str | None, _number("--final-lr", "X", "Learning rate at the end.")] = None,
    dropout: Annotated[str | None, _number("--dropout", "P", "Share of units left out, 0 to 1.")] = None,
    gram: Annotated[str | None, _number("--gram", "FORM", "Gram term: frobenius, cosine, decorrelate or off.")] = None,
    gram_weight: Annotated[str | None, _number("--gram-weight", "X", "Weight of the gram term.")] = None,
    standardise_targets: Annotated[
        bool, typer.Option("--standardise-targets", help="Learn latents standardised per channel.")
    ] = False,
    spatial_weights: Annotated[
        str | None,
        _number("--spatial-weights", "B", "Weight of triplane cells without surface, relative to 1; above 0."),
    ] = None,
    render_weight: Annotated[
        str | None, _number("--render-weight", "X", "Weight of a loss on what the frozen generator makes.")
    ] = None,
    render_every: Annotated[
        str | None, _number("--render-every", "N", "Steps between such losses. [default: 1]")
    ] = None,
    render_samples: Annotated[
        str | None, _number("--render-samples", "N", "Samples of a batch that they look at. [default: 2]")
    ] = None,
    seed: Seed = "0",
    device: Device = "auto",
    devices: Annotated[
        str, typer.Option("--devices", metavar="N", help="Devices per machine that train together.")
    ] = "1",
    nodes: Annotated[str, typer.Option("--nodes", metavar="N", help="Machines that train together.")] = "1",
    precision: Annotated[str | None, _number("--precision", "P", "32 or bf16.")] = None,
    log_every: Annotated[str, typer.Option("--log-every", metavar="N", help="Steps between lines of the log.")] = "50",
    validate_every: Annotated[
        str, typer.Option("--validate-every", metavar="N", help="Steps between validations.")
    ] = "500",
    save_every: Annotated[
        str,
        typer.Option(
            "--save-every", metavar="N", help="Steps, or seconds as in 300s, between checkpoints; also every 300s."
        ),
    ] = "1000",
    rates: Rates = None,
    no_code: Annotated[bool, typer.Option("--no-code", help="Do not fit a code model.")] = False,
    quantised: Annotated[
        str | None,
        _number(
            "--quantised",
            "STEPS",
            "Afterwards train on for so many steps with the error of the quantiser, in RUN/quantised.",
        ),
    ] = None,
    quantised_rate: Annotated[
        str, typer.Option("--quantised-rate", metavar="BITS", help="Rate to do that for, in bits per number.")
    ] = "2",
    resume: Annotated[
        bool, typer.Option("--resume", help="Fail if there is nothing to go on with, instead of starting.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Start over: forget what RUN holds.")] = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Train a mapping network."""
    if steps is not None and epochs is not None:
        raise UsageError("`--steps` and `--epochs` exclude each other", hint="give one of them")
    if resume and force:
        raise UsageError("`--resume` and `--force` exclude each other", hint="give one of them")
    if quantised is not None and no_code:
        raise UsageError("`--quantised` needs a code model", hint="leave out `--no-code`")
    for option, text in (("--render-every", render_every), ("--render-samples", render_samples)):
        if text is not None and render_weight is None:
            raise UsageError(f"`{option}` needs a rendering loss", hint="add `--render-weight`")
    changes: dict[str, Any] = {}
    for name, text, parse in (
        ("epochs", epochs, partial(parse_whole, low=1)),
        ("batch_size", batch_size, partial(parse_whole, low=1)),
        ("lr", lr, parse_real),
        ("adamw_lr", adamw_lr, parse_real),
        ("final_lr", final_lr, parse_real),
        ("dropout", dropout, parse_real),
        ("gram", gram, _verbatim),
        ("gram_weight", gram_weight, parse_real),
        ("precision", precision, _verbatim),
        ("spatial_weights", spatial_weights, parse_real),
        ("render_weight", render_weight, parse_real),
        ("render_every", render_every, partial(parse_whole, low=1)),
        ("render_samples", render_samples, partial(parse_whole, low=1)),
    ):
        if text is not None:
            changes[name] = parse(text, f"--{name.replace('_', '-')}")
    if standardise_targets:
        changes["standardise_targets"] = True
    in_seconds = save_every.endswith("s")
    saving = parse_whole(save_every.removesuffix("s"), "--save-every", 1)
    running = {
        "steps": None if steps is None else parse_whole(steps, "--steps", 1),
        "seed": parse_whole(seed, "--seed", 0),
        "device": device,
        "devices": parse_whole(devices, "--devices", 1),
        "nodes": parse_whole(nodes, "--nodes", 1),
        "log_every": parse_whole(log_every, "--log-every", 1),
        "validate_every": parse_whole(validate_every, "--validate-every", 1),
        **({"save_seconds": float(saving), "save_every": 1 << 62} if in_seconds else {"save_every": saving}),
    }
    request = _MappingRequest(
        pair=pair,
        data=Path(data),
        folder=Path(output),
        preset=preset,
        start=None if start is None else Path(start),
        changes=changes,
        running=running,
        rates=_rates(rates),
        code=not no_code,
        quantised=None if quantised is None else parse_whole(quantised, "--quantised", 1),
        quantised_rate=parse_real(quantised_rate, "--quantised-rate"),
        resume=resume,
        force=force,
    )
    return partial(_run_mapping, Reporter("train mapping", as_json=as_json, quiet=quiet, verbose=verbose), request)


@app.command(cls=shared.PlainCommand, help=AUTOENCODER_HELP, short_help="Train the networks of an embedded codec.")
def autoencoder(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Folder of meshes, or of data that an earlier run packed.", show_default=False
        ),
    ],
    codec: Annotated[str, _number("--codec", "ID", "mesh.lite, points.lite or field.lite.")],
    output: Annotated[str, _output("RUN", "Folder of the run.")],
    steps: Annotated[str | None, _number("--steps", "N", "Steps of each network, instead of the usual number.")] = None,
    export: Annotated[str | None, _number("--export", "DIR", "Also write the weights to this folder.")] = None,
    leave_out: Annotated[
        str | None,
        _number(
            "--leave-out",
            "FILE",
            "Names of objects, one a line and without .glb, that training must not see, such as those that results are "
            "measured on.",
        ),
    ] = None,
    seed: Seed = "0",
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Train the networks of an embedded codec."""
    return partial(
        _run_autoencoder,
        Reporter("train autoencoder", as_json=as_json, quiet=quiet, verbose=verbose),
        codec,
        Path(data),
        Path(output),
        steps=None if steps is None else parse_whole(steps, "--steps", 1),
        seed=parse_whole(seed, "--seed", 0),
        export=None if export is None else Path(export),
        leave_out=None if leave_out is None else Path(leave_out),
    )


@app.command(cls=shared.PlainCommand, help=CODE_HELP, short_help="Fit the code model of a mapping network.")
def code(
    pair: Pair,
    data: Data,
    mapping: Annotated[str, _number("--mapping", "FILE", "Trained network, mapping.safetensors.")],
    output: Annotated[str, _output("OUT", "File for the code model.")],
    rates: Rates = None,
    seed: Seed = "0",
    device: Device = "auto",
    force: shared.Force = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Fit the code model of a mapping network."""
    reporter = Reporter("train code", as_json=as_json, quiet=quiet, verbose=verbose)
    return partial(
        _run_code,
        reporter,
        pair,
        Path(data),
        Path(mapping),
        Path(output),
        _rates(rates),
        seed=parse_whole(seed, "--seed", 0),
        device=device,
        force=force,
    )


@dataclasses.dataclass(frozen=True)
class _MappingRequest:
    pair: str
    data: Path
    folder: Path
    preset: str
    start: Path | None
    changes: dict[str, Any]
    running: dict[str, Any]
    rates: tuple[float, ...] | None
    code: bool
    quantised: int | None
    quantised_rate: float
    resume: bool
    force: bool

    def recipe(self) -> Recipe:
        """Preset with what was given instead."""
        from squeeze3d.training.presets import preset

        recipe = preset(self.preset)
        if "epochs" in self.changes and recipe.decay is not None:
            # The schedule keeps its shape.
            decay = max(1, round(recipe.decay * self.changes["epochs"]))
            recipe = dataclasses.replace(recipe, decay_epochs=decay)
        return dataclasses.replace(recipe, **self.changes)

    def beginning(self) -> Start | None:
        """Weights to begin with; None: random ones."""
        from squeeze3d.training.trainer import Start
        from squeeze3d.weights.hashing import sha256_of

        if self.start is None:
            return None
        if not self.start.is_file():
            raise InputError(
                f"no such file: `{self.start}`", hint="`--start` takes a mapping network, a safetensors file"
            )
        return Start(self.start, None, {"mapping": sha256_of(self.start)})

    def config(self) -> RunConfig:
        """How the run is carried out."""
        from squeeze3d.training.trainer import RunConfig

        return RunConfig(self.recipe(), **self.running)


def _run_dataset(
    reporter: Reporter,
    pair_id: str,
    folder: Path,
    count: int,
    seed: int,
    shard_size: int,
    *,
    half: bool,
    device: str,
    source: Path | None,
    remote_code: bool,
) -> int:
    from squeeze3d.codecs.pairs.networks import Networks, fitted
    from squeeze3d.codecs.pairs.registry import pair_by_id
    from squeeze3d.device import resolve
    from squeeze3d.training.synthesis import check_folder, describe, draw_dataset

    # A data set is for another mapping network than the one that may be here.
    pair = fitted(pair_by_id(pair_id), mapping=False)
    shown = None if source is None else _source(reporter, source, pair, remote_code=remote_code)
    identity = None if shown is None else shown.identity
    description = describe(pair, count, seed=seed, shard_size=shard_size, half=half, source=identity)
    check_folder(folder, description)
    bar = Bar(1, enabled=not reporter.quiet)
    began, told = time.monotonic(), 0

    def load() -> tuple[Any, Any]:
        networks = Networks(pair, resolve(device), b"")
        return networks.encoder, networks.generator

    def progress(done: int, total: int) -> None:
        nonlocal told
        bar.stage("data set", f"sample {done}/{total}", done / total)
        if done // shard_size > told and not can_animate():
            told = done // shard_size
            reporter.line(f"{done} of {total} samples")

    try:
        with native_output_to_stderr():
            latents = None if shown is None else partial(_latents, pair, shown, seed, device)
            report = draw_dataset(pair, folder, description, load, load_latents=latents, progress=progress)
    except KeyboardInterrupt:
        bar.clear()
        reporter.line("stopped; whole shards are kept, and the same command goes on behind them")
        raise
    finally:
        bar.clear()
    if report.drawn == 0:
        reporter.line(f"{printable(str(folder))}: complete already, nothing to do")
    else:
        kept = f", {report.kept} were there" if report.kept else ""
        reporter.line(f"{printable(str(folder))}: {report.drawn} samples drawn{kept}, {report.refused} refused")
    record = {
        **dataclasses.asdict(description),
        "output": str(folder),
        "drawn": report.drawn,
        "kept": report.kept,
        "refused": report.refused,
        "seconds": time.monotonic() - began,
    }
    reporter.document([record])
    return 0


def _source(reporter: Reporter, path: Path, pair: PairSpec, *, remote_code: bool) -> Folder:
    """What can be used of a folder; says what cannot."""
    from squeeze3d.training import zero123
    from squeeze3d.training.conditioning import open_folder

    needs_views = pair.conditioning == "instantmesh"
    pictures = not needs_views or (zero123.is_installed() and remote_code)
    found = open_folder(path, pair, pictures=pictures)
    if found.skipped and not zero123.is_installed():
        raise zero123.missing()
    if found.skipped:
        raise UsageError(
            "views of pictures are made by Zero123++, whose code comes from a repository on the hub",
            hint=f"look at https://huggingface.co/{zero123.PIPELINE}, then add `--remote-code` to run it",
        )
    reporter.line(f"{len(found.files)} files in {printable(str(path))}")
    return found


def _latents(pair: PairSpec, shown: Folder, seed: int, device: str) -> Latents:
    from squeeze3d.codecs.pairs.networks import Networks
    from squeeze3d.device import resolve
    from squeeze3d.training.conditioning import FIELDS, FieldLatents, FolderLatents, is_picture, load_conditioner
    from squeeze3d.training.zero123 import Zero123
    from squeeze3d.weights.cache import locate

    name = resolve(device)
    if pair.conditioning == FIELDS:
        return FieldLatents(shown, pair, Networks(pair, name, b"").encoder, seed)
    needs_views = pair.conditioning == "instantmesh" and is_picture(shown.files[0])
    multiview = Zero123(name) if needs_views else None
    conditioner = load_conditioner(pair, locate(pair.generator_weights[0]), name, multiview)
    return FolderLatents(shown, conditioner, seed)


def _run_autoencoder(
    reporter: Reporter,
    codec: str,
    data: Path,
    output: Path,
    *,
    steps: int | None,
    seed: int,
    export: Path | None,
    leave_out: Path | None,
) -> int:
    from squeeze3d.training.autoencoders import train_autoencoder

    names = () if leave_out is None else _names_in(leave_out)
    began = time.monotonic()
    with native_output_to_stderr():
        train_autoencoder(
            codec, data, output, steps=steps, seed=seed, export=export, leave_out=names, say=reporter.line
        )
    record = {"codec": codec, "output": str(output), "seed": seed, "seconds": time.monotonic() - began}
    reporter.document([record])
    return 0


def _names_in(path: Path) -> tuple[str, ...]:
    """Names in a file, one a line. Raises InputError if it cannot be read."""
    hint = "`--leave-out` takes a text file with the name of an object on each line"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"no such file: `{path}`", hint=hint) from None
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}", hint=hint) from None
    except ValueError:
        # Bytes that are no text, or a NUL character in the name.
        raise InputError(f"`{path}` is no text in UTF-8", hint=hint) from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _run_mapping(reporter: Reporter, request: _MappingRequest) -> int:
    from squeeze3d.codecs.pairs.networks import fitted
    from squeeze3d.codecs.pairs.registry import pair_by_id

    pair = fitted(pair_by_id(request.pair), mapping=False)
    config = request.config()
    if request.quantised is not None and config.devices * config.nodes > 1:
        raise UsageError(
            "`--quantised` runs on one device", hint="train first, then add it without `--devices` and `--nodes`"
        )
    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.rates import CODE
    from squeeze3d.training.trainer import MAPPING, has_run

    folder = request.folder
    if not request.force and not has_run(folder):
        if request.resume:
            raise UsageError(f"`{folder}` holds no run to go on with", hint="leave out `--resume`")
        for name in (MAPPING, CODE):
            if (folder / name).exists():
                raise OutputError(f"`{folder / name}` exists and is not of a run", hint="choose another folder")
    pairs = LatentPairs(request.data)
    began = time.monotonic()
    result = _train(reporter, pair, pairs, folder, config, start=request.beginning(), force=request.force)
    if not result.is_main:
        return 0
    record: Record = {**_training_record(result), "pair": pair.id, "code": None, "quantised": None}
    if request.code:
        report = _fit(reporter, pair, pairs, result.mapping, folder / CODE, request)
        record["code"] = report.to_json()
        if request.quantised is not None:
            record["quantised"] = _quantised(reporter, pair, pairs, request, config, report)
    record["seconds"] = time.monotonic() - began
    reporter.document([record])
    return 0


def _run_code(
    reporter: Reporter,
    pair_id: str,
    data: Path,
    mapping: Path,
    output: Path,
    rates: tuple[float, ...] | None,
    *,
    seed: int,
    device: str,
    force: bool,
) -> int:
    from squeeze3d.codecs.pairs.networks import fitted
    from squeeze3d.codecs.pairs.registry import pair_by_id

    pair = fitted(pair_by_id(pair_id), mapping=False)
    from squeeze3d.files import check_writable
    from squeeze3d.training.dataset import LatentPairs
    from squeeze3d.training.rates import RATE_PLOT, RATE_TABLE

    outputs = [output, output.with_name(RATE_TABLE), output.with_name(RATE_PLOT)]
    check_writable(outputs, overwrite=force)
    if not output.parent.is_dir():
        raise OutputError(f"cannot write `{output}`: no such folder `{output.parent}`", hint="create the folder first")
    began = time.monotonic()
    report = _fit_code(reporter, pair, LatentPairs(data), mapping, output, rates, seed=seed, device=device)
    record = {"pair": pair.id, "output": str(output), **report.to_json(), "seconds": time.monotonic() - began}
    reporter.document([record])
    return 0


def _train(
    reporter: Reporter,
    pair: PairSpec,
    data: LatentPairs,
    folder: Path,
    config: RunConfig,
    *,
    start: Start | None,
    force: bool,
) -> TrainingResult:
    from squeeze3d.training.trainer import train_mapping

    return _trained(
        reporter,
        folder,
        lambda tick: train_mapping(pair, data, folder, config, start=start, restart=force, progress=tick),
    )


def _trained(
    reporter: Reporter, folder: Path, train: Callable[[Callable[[Tick], None]], TrainingResult]
) -> TrainingResult:
    """Run a training with a bar and lines about it."""
    bar = Bar(1, enabled=not reporter.quiet)
    loss, step = "", 0

    def progress(tick: Tick) -> None:
        nonlocal loss, step
        step = tick.step
        for entry in tick.entries:
            if entry["kind"] == "train":
                loss = f", loss {entry['loss']:.4g}"
            if not can_animate():
                reporter.line(_log_line(entry, tick.steps))
        left = f", {_clock(tick.seconds_left)} left"
        bar.stage("training", f"step {tick.step}/{tick.steps}{loss}{left}", tick.step / tick.steps)

    try:
        with native_output_to_stderr():
            result = train(progress)
    except KeyboardInterrupt:
        bar.clear()
        if step:
            reporter.line(f"stopped at step {step}, which is saved; the same command goes on from there")
        raise
    finally:
        bar.clear()
    if result.is_main:
        if result.resumed_from >= result.steps:
            reporter.line(f"{printable(str(folder))}: all {result.steps} steps were done before")
        else:
            before = f", {result.resumed_from} of them before" if result.resumed_from else ""
            reporter.line(f"{printable(str(folder))}: {result.steps} steps{before}")
        _answer(reporter, f"latent error {result.latent_error:.4f} of the variance, on the validation split")
    return result


def _fit(
    reporter: Reporter, pair: PairSpec, data: LatentPairs, mapping: Path, output: Path, request: _MappingRequest
) -> CodeReport:
    from squeeze3d.mapping.code_fit import RATES
    from squeeze3d.training.rates import stored_report

    report = stored_report(output, mapping, request.rates or RATES)
    if report is not None:
        _tell_rates(reporter, report)
        return report
    seed, device = request.running["seed"], request.running["device"]
    return _fit_code(reporter, pair, data, mapping, output, request.rates, seed=seed, device=device)


def _fit_code(
    reporter: Reporter,
    pair: PairSpec,
    data: LatentPairs,
    mapping: Path,
    output: Path,
    rates: tuple[float, ...] | None,
    *,
    seed: int,
    device: str,
) -> CodeReport:
    from squeeze3d.device import resolve
    from squeeze3d.mapping.code_fit import RATES
    from squeeze3d.training.rates import fit_code_model, save_code_model

    bar = Bar(1, enabled=not reporter.quiet)
    try:
        model, report = fit_code_model(
            pair,
            data,
            mapping,
            rates=rates or RATES,
            seed=seed,
            device=resolve(device),
            stage=lambda name, fraction: bar.stage("code model", name, fraction),
        )
    finally:
        bar.clear()
    save_code_model(model, report, output)
    _tell_rates(reporter, report)
    return report


def _quantised(
    reporter: Reporter,
    pair: PairSpec,
    data: LatentPairs,
    request: _MappingRequest,
    config: RunConfig,
    before: CodeReport,
) -> Record:
    """Fine-tune for the quantiser, and compare."""
    from squeeze3d.training.finetune import fine_tune, nearest_rate
    from squeeze3d.training.rates import CODE
    from squeeze3d.training.trainer import MAPPING

    folder, source = request.folder / "quantised", request.folder
    rate = nearest_rate([row.bits_per_dimension for row in before.rates], request.quantised_rate)
    tuning = dataclasses.replace(config, steps=request.quantised)
    reporter.line(f"training on with the error of rate {rate}")
    result = _trained(
        reporter,
        folder,
        lambda tick: fine_tune(
            pair,
            data,
            folder,
            tuning,
            mapping=source / MAPPING,
            code=source / CODE,
            rate=rate,
            report=before,
            restart=request.force,
            progress=tick,
        ),
    )
    after = _fit(reporter, pair, data, result.mapping, folder / CODE, request)
    errors = [report.rates[rate].latent_error for report in (before, after)]
    _answer(
        reporter,
        f"latent error at rate {rate} ({before.rates[rate].bits_per_dimension:.2f} {arrow()} "
        f"{after.rates[rate].bits_per_dimension:.2f} bits): {errors[0]:.4f} {arrow()} {errors[1]:.4f}",
    )
    return {
        **_training_record(result),
        "rate": rate,
        "latent_error_before": errors[0],
        "latent_error_after": errors[1],
        "code": after.to_json(),
    }


def _training_record(result: TrainingResult) -> Record:
    return {
        "output": str(result.folder),
        "mapping": str(result.mapping),
        "steps": result.steps,
        "resumed_from": result.resumed_from,
        "parameters": result.parameters,
        "latent_error": result.latent_error,
    }


def _tell_rates(reporter: Reporter, report: CodeReport) -> None:
    rows = [("RATE", "BITS/NUMBER", "BYTES", "LATENT ERROR", "INCREASE")]
    rows += [
        (
            str(row.rate),
            f"{row.bits_per_dimension:.2f}",
            f"{row.bytes:.1f}",
            f"{row.latent_error:.4f}",
            f"{row.increase:+.2%}",
        )
        for row in report.rates
    ]
    rows.append(("-", "32", str(4 * report.code_size), f"{report.latent_error:.4f}", ""))
    _answer(reporter, table(rows))


def _answer(reporter: Reporter, text: str) -> None:
    if not reporter.quiet:
        reporter.result(text)


def _log_line(entry: dict[str, Any], steps: int) -> str:
    start = f"step {entry['step']}/{steps}"
    if entry["kind"] == "validation":
        return f"{start}  validation: latent error {entry['latent_error']:.4f} of the variance"
    rendering = f"  rendering {entry['rendering']:.4g}" if "rendering" in entry else ""
    return (
        f"{start}  epoch {entry['epoch']:.1f}  loss {entry['loss']:.4g}  reconstruction {entry['reconstruction']:.4g}  "
        f"gram {entry['gram']:.3g}{rendering}  lr {entry['lr']:.2g}  d_eff {entry['d_eff']:.1f}  "
        f"condition {entry['condition']:.3g}  {entry['samples_per_second']:.0f} samples/s"
    )


def _clock(seconds: float) -> str:
    """`12:05`, `3:20:00`."""
    minutes, rest = divmod(round(min(seconds, 1e9)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _verbatim(text: str, option: str) -> str:
    return text


def _rates(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(parse_real(part.strip(), "--rates") for part in text.split(","))
