"""`sq3d models`: which weights there are, and which of them are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.report import Record, Reporter, table
from squeeze3d.cli.terminal import printable
from squeeze3d.errors import UsageError

if TYPE_CHECKING:
    from squeeze3d.weights.artefacts import Artefact
    from squeeze3d.weights.cache import Imported, Verified
    from squeeze3d.weights.download import Pulled

HELP = """\
Example: sq3d models list

List the network weights that codecs need, and bring them to this machine. Without a command: `list`.

They lie in the folder that SQ3D_WEIGHTS names, else in squeeze3d/weights of the user's cache.
"""
LIST_HELP = """\
Example: sq3d models list --json

List all weights: licence, whether they are on this machine, size, the codecs that use them, and their source.
"""
PATH_HELP = """\
Example: sq3d models path mapping.shape

Print where the file of some weights lies. Exit code 4 means that it is not on this machine.
"""
PULL_HELP = """\
Example: sq3d models pull mapping.shape

Download weights from where they are published, check them and keep them. NAME may also be a codec: all that it needs.
What is here already is left as it is. A download that was cut goes on where it stopped.

Needs `pip install "squeeze3d[hub]"`. HF_ENDPOINT names another hub, HF_TOKEN is sent to it, HF_HUB_OFFLINE=1 forbids
downloads.
"""
IMPORT_HELP = """\
Example: sq3d models import mapping.shape mesh_ma_shape.safetensors

Check a downloaded file and copy it to the folder of weights. A pickle checkpoint (.pt, .pth, .ckpt) is read
without running its code, and converted to safetensors.
"""
VERIFY_HELP = """\
Example: sq3d models verify mapping.shape

Read files of weights whole, and compare their SHA-256 with the published one, or else with the one they had when
they came here. Exit code 3 means damage.
"""


def _load_plugins() -> None:
    # Importing a plugin registers its weights too.
    from squeeze3d.codecs.registry import load_plugins

    load_plugins()


def _artefacts() -> tuple[Artefact, ...]:
    from squeeze3d.weights.registry import artefacts

    _load_plugins()
    return artefacts()


def _complete_name(incomplete: str) -> list[str]:
    return [each.name for each in _artefacts() if each.name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the weights.", show_default=False, autocompletion=_complete_name),
]

app = typer.Typer(
    cls=shared.PlainGroup,
    help=HELP,
    short_help="List, download, import and verify network weights.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@dataclass(frozen=True)
class _Flags:
    """Flags given before the command, as in `sq3d models --json path NAME`."""

    quiet: bool
    verbose: bool
    as_json: bool


def _reporter(context: typer.Context, *, quiet: bool, verbose: bool, as_json: bool, names: bool = False) -> Reporter:
    outer: Any = context.obj
    if isinstance(outer, _Flags):
        quiet, verbose, as_json = quiet or outer.quiet, verbose or outer.verbose, as_json or outer.as_json
    return Reporter("models", as_json=as_json, quiet=quiet, verbose=verbose, names=names)


@app.callback()
def models(
    context: typer.Context,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action | None:
    """List, download, import and verify network weights."""
    context.obj = _Flags(quiet, verbose, as_json)
    if context.invoked_subcommand is not None:
        return None
    return partial(_list, _reporter(context, quiet=quiet, verbose=verbose, as_json=as_json))


def list_(
    context: typer.Context,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """List all weights."""
    return partial(_list, _reporter(context, quiet=quiet, verbose=verbose, as_json=as_json))


def path(
    context: typer.Context,
    name: Name,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Print where weights lie."""
    return partial(_path, name, _reporter(context, quiet=quiet, verbose=verbose, as_json=as_json))


def pull(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Names of weights, or of codecs.",
            show_default=False,
            autocompletion=_complete_name,
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Download and replace what is there already. The checks stay.")
    ] = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Download weights."""
    reporter = _reporter(context, quiet=quiet, verbose=verbose, as_json=as_json, names=True)
    return partial(_pull, list(names), force, reporter)


def import_(
    context: typer.Context,
    name: Name,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The downloaded or trained file.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace a file that is there already. The checks stay.")
    ] = False,
    link: Annotated[
        bool,
        typer.Option(
            "--link", help="Hard link instead of a copy, where possible. FILE must not be changed afterwards."
        ),
    ] = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Bring a file of weights to this machine."""
    reporter = _reporter(context, quiet=quiet, verbose=verbose, as_json=as_json)
    return partial(_import, _ImportTask(file, name, force, link), reporter)


def verify(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Names of weights; without one, all that are on this machine.",
            show_default=False,
            autocompletion=_complete_name,
        ),
    ] = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Check weights for damage."""
    reporter = _reporter(context, quiet=quiet, verbose=verbose, as_json=as_json, names=True)
    return partial(_verify, list(names or ()), reporter)


for _name, _verb, _help in (
    ("list", list_, LIST_HELP),
    ("path", path, PATH_HELP),
    ("pull", pull, PULL_HELP),
    ("import", import_, IMPORT_HELP),
    ("verify", verify, VERIFY_HELP),
):
    app.command(_name, cls=shared.PlainCommand, help=_help, short_help=_verb.__doc__)(_verb)


def _list(reporter: Reporter) -> int:
    from squeeze3d.weights.directory import weights_directory

    records = [_describe(each) for each in _artefacts()]
    rows = [("NAME", "LICENSE", "HERE", "SIZE", "USED BY", "SOURCE")]
    rows += [
        (
            record["name"],
            f"{record['license']}{' (NON-COMMERCIAL)' if record['non_commercial'] else ''}",
            "yes" if record["present"] else "no",
            "?" if record["size"] is None else format_bytes(record["size"]),
            ", ".join(record["codecs"]) or "-",
            _source(record),
        )
        for record in records
    ]
    reporter.result(table(rows))
    if reporter.verbose:
        reporter.line(f"weights lie in {weights_directory()}", "dim")
    reporter.document(records)
    return 0


def _describe(artefact: Artefact) -> Record:
    from squeeze3d.codecs.registry import codecs
    from squeeze3d.weights.cache import find

    present = find(artefact.name)
    return {
        "name": artefact.name,
        "summary": artefact.summary,
        "license": artefact.license,
        "non_commercial": artefact.non_commercial,
        "present": present is not None,
        "path": None if present is None else str(present),
        "size": artefact.size if present is None else present.stat().st_size,
        "published_size": artefact.size,
        "published_sha256": artefact.sha256,
        "codecs": [spec.id for spec in codecs() if artefact.name in (*spec.weights, *spec.other_weights)],
        "repository": artefact.repository,
        "file": artefact.file,
        "page": artefact.page,
        "url": artefact.url,
    }


def _source(record: Record) -> str:
    if record["repository"] is not None:
        return f"{record['repository']}: {record['file']}"
    return record["page"] or "-"


def _path(name: str, reporter: Reporter) -> int:
    from squeeze3d.weights.cache import locate

    _load_plugins()
    found = str(locate(name))
    # Verbatim: the answer is for `$(...)`, where an escaped name would be another file.
    reporter.result(found)
    reporter.document([{"name": name, "path": found}])
    return 0


@dataclass(frozen=True)
class _PullTask:
    input: str
    """Name of the weights: what errors are about."""
    force: bool


def _pull(names: Sequence[str], force: bool, reporter: Reporter) -> int:
    from squeeze3d.weights.cache import find
    from squeeze3d.weights.registry import artefact

    def announce(task: _PullTask) -> None:
        known = artefact(task.input)
        if known.non_commercial and (force or find(known.name) is None):
            reporter.remark("warning", f"licence: {known.terms}, see {known.page}", known.name)

    def finish(task: _PullTask, done: Pulled) -> Record:
        known = artefact(task.input)
        how = (
            "here already" if done.revision is None else "downloaded and converted" if done.converted else "downloaded"
        )
        reporter.line(f"{task.input}: {how}, {format_bytes(done.size)}, {_amount(done)}; licence {known.license}")
        if reporter.verbose:
            reporter.line(f"  sha256 {done.sha256 or 'not recorded'}", "dim")
            reporter.line(f"  {done.path}", "dim")
        return {
            "name": task.input,
            "license": known.license,
            "non_commercial": known.non_commercial,
            "converted": done.converted,
            "received": done.received,
            "repository": known.repository,
            "revision": done.revision,
            **_facts(done),
        }

    tasks = [_PullTask(name, force) for name in _wanted(names)]
    return run_batch(tasks, work=_work_pull, finish=finish, reporter=reporter, prepare=announce)


def _wanted(names: Sequence[str]) -> list[str]:
    """Names of artefacts: those given, and those of the codecs given. Each once.

    Raises UsageError for a codec without any.
    """
    from squeeze3d.codecs.registry import codecs

    known = {each.name for each in _artefacts()}
    weights = {spec.id: spec.weights for spec in codecs()}
    chosen: dict[str, None] = {}
    for name in names:
        if name not in known and name in weights:
            if not weights[name]:
                raise UsageError(f"codec {name} needs no weights", hint="`sq3d models` lists the names")
            chosen.update(dict.fromkeys(weights[name]))
        else:
            chosen[name] = None
    return list(chosen)


def _work_pull(task: _PullTask, progress: Progress) -> Pulled:
    from squeeze3d.weights.download import pull

    _load_plugins()
    return pull(task.input, force=task.force, progress=progress)


@dataclass(frozen=True)
class _ImportTask:
    input: str
    name: str
    force: bool
    link: bool


def _import(task: _ImportTask, reporter: Reporter) -> int:
    def finish(task: _ImportTask, done: Imported) -> Record:
        from squeeze3d.weights.registry import artefact

        known = artefact(task.name)
        how = "converted" if done.converted else "imported"
        reporter.line(f"{how} {task.name}  {format_bytes(done.size)}   {_amount(done)}")
        if reporter.verbose:
            reporter.line(f"  sha256 {done.sha256}", "dim")
            reporter.line(f"  {done.path}", "dim")
        if known.non_commercial:
            reporter.remark("warning", f"licence of {task.name}: {known.terms}", task.input)
        return {
            "input": task.input,
            "name": task.name,
            "license": known.license,
            "non_commercial": known.non_commercial,
            "converted": done.converted,
            **_facts(done),
        }

    return run_batch([task], work=_work_import, finish=finish, reporter=reporter)


def _work_import(task: _ImportTask, progress: Progress) -> Imported:
    from squeeze3d.weights.cache import import_file

    _load_plugins()
    return import_file(task.name, task.input, force=task.force, link=task.link, progress=progress)


@dataclass(frozen=True)
class _VerifyTask:
    input: str
    """Name of the weights: what errors are about."""


def _verify(names: Sequence[str], reporter: Reporter) -> int:
    from squeeze3d.weights.cache import cached_path

    known = _artefacts()
    chosen = names or [each.name for each in known if cached_path(each.name).is_file()]
    if not chosen:
        reporter.line("no weights are on this machine")

    def finish(task: _VerifyTask, found: Verified) -> Record:
        against = f"as {found.compared_with}" if found.compared_with else "no hash to compare with"
        if not reporter.quiet:
            detail = f" ({_amount(found)}, sha256 {found.sha256})" if reporter.verbose else ""
            reporter.result(f"{printable(task.input)}: ok, {against}{detail}")
        return {"name": task.input, "compared_with": found.compared_with, "ok": True, **_facts(found)}

    return run_batch([_VerifyTask(name) for name in chosen], work=_work_verify, finish=finish, reporter=reporter)


def _work_verify(task: _VerifyTask, progress: Progress) -> Verified:
    from squeeze3d.weights.cache import verify

    return verify(task.input, progress=progress)


def _facts(found: Imported | Verified | Pulled) -> Record:
    return {
        "path": str(found.path),
        "size": found.size,
        "sha256": found.sha256,
        "tensors": found.header.tensors,
        "parameters": found.header.parameters,
    }


def _amount(found: Imported | Verified | Pulled) -> str:
    return f"{found.header.parameters} numbers in {found.header.tensors} tensors"
