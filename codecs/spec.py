"""`CodecSpec`: what a codec declares about itself, once, for the CLI, the docs, the benchmark and the tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.errors import UsageError

if TYPE_CHECKING:
    from typing import ClassVar

    from squeeze3d.quality.goal import Goal


class Kind(StrEnum):
    """Kinds of assets."""

    MESH = "mesh"
    POINTS = "points"
    FIELD = "field"
    SPLATS = "splats"

    @classmethod
    def of(cls, asset: Asset) -> Kind:
        """Kind of an asset object."""
        return _KINDS[type(asset)]


_KINDS: dict[type, Kind] = {
    Mesh: Kind.MESH,
    PointCloud: Kind.POINTS,
    RadianceField: Kind.FIELD,
    Splats: Kind.SPLATS,
}


class Fidelity(StrEnum):
    """What a codec promises about the asset that comes back, from strongest to weakest."""

    LOSSLESS = "lossless"
    """The same bytes."""
    BOUNDED = "bounded"
    """Everything is kept; numbers move by no more than a stated error."""
    PERCEPTUAL = "perceptual"
    """Looks the same at a given size; topology and texture layout are new."""
    GENERATIVE = "generative"
    """Recreated by a generator; details may be invented."""


@dataclass(frozen=True)
class RawFiles:
    """Files of an asset exactly as they were, main file first. What a lossless codec decodes to."""

    files: Mapping[str, bytes]
    """Content by relative file name."""


class Judge(Protocol):
    """Measures decoded assets against the original; higher is better."""

    def __call__(self, decoded: Asset) -> float:
        """How far the decoded asset is above the goal, in dB."""


@dataclass
class Job:
    """One request to encode: the goal, and where the codec leaves its remarks."""

    target_size: int | None = None
    """Largest size of the whole .sq3 file in bytes, or None for the codec's own defaults."""
    exact: bool = True
    """Whether `target_size` is a limit to be filled. If not, it is where a search looks next: a result within about a
    quarter of it, above or below, will do and should come quickly."""
    goal: Goal | None = None
    """Quality that the smallest file is wanted for; only set for codecs that aim, with no target size."""
    judge: Judge | None = None
    """Chooses between results the codec itself cannot rank; None where nobody measures."""
    effort: int = 5
    """1 (fast) to 9 (small): how much work the codec may put into each result."""
    memo: dict[str, Any] = field(default_factory=dict)
    """What the codec wants to remember between requests for the same asset and options."""
    losses: LossReport = field(default_factory=LossReport)
    """The codec adds everything it drops."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the codec chose, as plain data with stable keys: faces, texture size ..."""
    outlier: str | None = None
    """Set by a codec that was trained: why this asset is unlike what it was trained on. Where the user did not name the
    codec, the result is then not used."""
    progress: Callable[[str, float], None] = lambda stage, fraction: None
    """Called now and then with the name of the step and the overall fraction done, 0 to 1."""


Encode = Callable[[Loaded, Any, Job], Container]
"""Encode an asset with an instance of the codec's options.

Raises TargetSizeError if `job.target_size` cannot be met, InputError if the asset has nothing to encode.
"""

Decode = Callable[[Container, Limits], Asset | RawFiles]
"""Decode a container. Must bear hostile input: any FormatError or LimitError, or a wrong asset, but never a crash, a
hang or unbounded memory."""


class OptionsType(Protocol):
    """A frozen dataclass; each field's meaning stands in its metadata (see `option`)."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def option(default: Any, help: str, *, low: float | None = None, high: float | None = None) -> Any:
    """Declare a field of an options dataclass: default, help text with units, and range."""
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True)
class CodecSpec:
    """One codec."""

    id: str
    """Stable name users type, `kind.name`."""
    wire: int
    """Stable number in files. Names codec and stream version: an incompatible stream gets a new number, never a
    reused one, and the old decoder stays."""
    summary: str
    kinds: frozenset[Kind]
    fidelity: Fidelity
    options: type[OptionsType]
    encode: Encode
    decode: Decode
    """Both import what is heavy when called, not before: the registry is part of every start-up."""
    extras: tuple[str, ...] = ()
    """Optional dependencies, as extras of this package."""
    weights: tuple[str, ...] = ()
    """Names of the network weights it needs."""
    other_weights: tuple[str, ...] = ()
    """Names of weights that may take the place of some of those."""
    chunks: Mapping[int, str] = field(default_factory=dict, hash=False)
    """What people call the chunks that it defines itself, by tag."""
    missing: Callable[[], str | None] = lambda: None
    """Why the codec cannot run on this machine, such as weights that are not there; None if it can. Quick."""
    aims: bool = False
    """Whether it finds the smallest file for a quality by itself (`Job.goal`). Others are asked for one size after the
    other."""
    from_effort: int = 1
    """Effort from which the program tries it by itself; below, it has to be named."""
    simple: int = 0
    """Meshes of at most so many faces are tried with this codec first."""
    usual: int = 3000
    """Bytes at which a search for a quality begins."""
    largest: int | None = None
    """Bytes beyond which its files hardly get better: a search for a quality ends there, and it is not tried for target
    sizes of more than twice as much."""
    least: int = 0
    """Target sizes of fewer bytes are left to other codecs, unless it is named."""
    keeps: frozenset[str] = frozenset()
    """Formats of which it keeps everything that is in the files, also what the reader's asset cannot hold."""
    worth: int = 0
    """Another codec's file of at most so many bytes is left at that: this one is not tried."""
    memory: tuple[int, int] = (0, 0)
    """Bytes that encoding takes for each triangle, point, cell or splat, measured and rounded up: with options that are
    given, and with a search for a size or a quality."""
    license: str = "Apache-2.0"
    """Licence of the weights, or of the code where there are none."""
    paper: str | None = None

    def keeps_files(self, format: str) -> bool:
        """Whether what the reader of a format could not hold is kept all the same."""
        return self.fidelity is Fidelity.LOSSLESS or format in self.keeps

    def make_options(self, values: Mapping[str, Any]) -> OptionsType:
        """Build options from a mapping, converting text to the field's type.

        Raises UsageError for unknown names, values of the wrong type or out of range.
        """
        fields = {f.name: f for f in dataclasses.fields(self.options)}
        parsed: dict[str, Any] = {}
        for raw_name, value in values.items():
            name = raw_name.replace("-", "_")
            if name not in fields:
                known = ", ".join(fields) or "none"
                raise UsageError(f"codec {self.id} has no option `{raw_name}`", hint=f"its options: {known}")
            parsed[name] = _convert(fields[name], value)
        return self.options(**parsed)


def _convert(target: dataclasses.Field[Any], value: Any) -> Any:
    default = target.default
    try:
        if isinstance(default, bool):
            if isinstance(value, str):
                value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
            converted: Any = bool(value)
        elif isinstance(default, int):
            converted = int(value)
            if not isinstance(value, str) and converted != value:
                raise ValueError
        elif isinstance(default, float):
            converted = float(value)
        elif isinstance(default, StrEnum):
            converted = type(default)(value)
        else:
            converted = value
    except (ValueError, TypeError, KeyError, OverflowError):
        expected = " | ".join(type(default)) if isinstance(default, StrEnum) else type(default).__name__
        raise UsageError(f"option `{target.name}` takes {expected}, not `{value}`") from None
    low, high = target.metadata.get("low"), target.metadata.get("high")
    if (low is not None and converted < low) or (high is not None and converted > high) or converted != converted:
        raise UsageError(f"option `{target.name}` must lie in [{low}, {high}], not {value}")
    return converted
