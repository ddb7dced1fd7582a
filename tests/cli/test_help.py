"""Help, version, completion, usage errors, and how fast they are."""

from __future__ import annotations

from pathlib import Path

import pytest

import squeeze3d
from squeeze3d.codecs.registry import codecs

from .conftest import RAW, Run, run_process

VERBS = ("compress", "decompress", "compare", "interpolate", "info", "verify", "codecs", "models", "train")
HEAVY = {"torch", "open3d", "trimesh", "scipy", "PIL", "rich", "pydantic", "multiprocessing", "asyncio"}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_bare_command_and_help_list_the_verbs(sq3d: Run, arguments: list[str]) -> None:
    run = sq3d(*arguments)
    assert run.code == 0
    assert not run.err
    for verb in VERBS:
        assert f"\n  {verb} " in run.text


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "train"])
def test_help_opens_with_an_example_and_documents_every_option(sq3d: Run, verb: str) -> None:
    run = sq3d(verb, "--help")
    assert run.code == 0
    assert run == sq3d("help", verb)
    lines = run.text.splitlines()
    assert lines[0].startswith(f"Usage: sq3d {verb} [OPTIONS]")
    assert lines[2].startswith(f"  Example: sq3d {verb} ")
    for option in ("--quiet", "--verbose", "--json"):
        assert option in run.text


@pytest.mark.parametrize("words", [("train", "mapping"), ("models", "import"), ("train",), ("models",)])
def test_help_of_a_verb_of_a_verb_is_that_of_its_option(sq3d: Run, words: tuple[str, ...]) -> None:
    run = sq3d("help", *words)
    assert run.code == 0
    assert run == sq3d(*words, "--help")
    assert run.text.startswith(f"Usage: sq3d {' '.join(words)} ")


def test_help_of_what_does_not_exist_is_a_usage_error(sq3d: Run) -> None:
    run = sq3d("help", "train", "everything")
    assert (run.code, run.out) == (2, b"")
    assert "no such command `everything`" in run.err


def test_help_of_compress_lists_the_registered_codecs(sq3d: Run) -> None:
    text = sq3d("compress", "--help").text
    for spec in codecs():
        assert spec.id in text


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(sq3d: Run, flag: str) -> None:
    run = sq3d(flag)
    assert (run.code, run.text) == (0, f"sq3d {squeeze3d.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compres"], "no such command `compres`"),
        (["compress"], "missing argument"),
        (["compress", "a.off", "--sizes"], "no such option: --sizes"),
        (["compress", "a.off", "-j", "-1"], "`--jobs -1` is not a number"),
        (["compress", "a.off", "--target-size", "10q"], "`--target-size 10q` is not a size"),
        (["compress", "a.off", "-O", "level"], "`-O level` is not of the form NAME=VALUE"),
        (["compress", "a.off", "-O", "level=1"], "codec options need a codec"),
        (["compress", "a.off", "-O", "level=1", "-O", "level=2"], "option `level` is given twice"),
        (["compress", "a.off", *RAW, "-O", "level=99"], "option `level` must lie in"),
        (["compress", "a.off", *RAW, "-O", "size=1"], "codec any.raw has no option `size`"),
        (["compress", "a.off", "--codec", "none"], "there is no codec `none`"),
        (["compress", "a.off", "b.off", "-o", "c.sq3"], "`-o` takes one input, not 2"),
        (["compress", "a.off", "b.off", "-c"], "`-c` takes one input, not 2"),
        (["compress", "a.off", "-c", "-o", "c.sq3"], "`-o` and `-c` exclude each other"),
        (["compress", "-", "b.off"], "cannot be mixed with other inputs"),
        (["compress", "-", "--output-dir", "d"], "standard input has no name"),
        (["compress", "-", "--format", "fbx"], "unknown format `fbx`"),
        (["decompress", "a.sq3", "--to", "fbx"], "unknown format `fbx`"),
        (["decompress", "a.sq3", "-o", "a"], "`a` does not say which format to write"),
        (["decompress", "a.sq3", "-o", "a.obj", "--to", "glb"], "contradict each other"),
        (["codecs", "none"], "there is no codec `none`"),
    ],
)
def test_usage_errors_are_one_error_line_and_at_most_one_hint(sq3d: Run, arguments: list[str], message: str) -> None:
    run = sq3d(*arguments)
    assert run.code == 2
    assert not run.out
    lines = run.err.splitlines()
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert [line[:6] for line in lines[1:]] in ([], ["hint: "])


def test_usage_errors_are_told_in_json_too(sq3d: Run) -> None:
    document = sq3d("compress", "a.off", "--codec", "none", "--json").document
    assert document["results"] == []
    assert document["error"]["type"] == "UsageError"
    assert document["error"]["exit_code"] == 2


def test_completion_script_is_shown_and_completes_verbs_and_codecs() -> None:
    shown = run_process("--show-completion", SHELL="/bin/bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="")
    assert shown.code in (0, 1)  # 1: no shell among the parents of the test
    for words, expected in (("sq3d comp", "compress"), ("sq3d compress a.off --codec any", "any.raw")):
        run = run_process(_SQ3D_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
        assert expected in run.text.split()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["compress", "--help"], ["info", "a.sq3"], ["verify", "a.sq3"], ["codecs"]],
)
def test_quick_commands_load_nothing_heavy(sq3d: Run, cube: Path, arguments: list[str]) -> None:
    assert sq3d("compress", cube, *RAW, "-o", "a.sq3").code == 0
    run = run_process(
        *arguments,
        script="import sys; from squeeze3d.cli.run import run; code = run(None); "
        "print('MODULES', *{m.split('.')[0] for m in sys.modules}); sys.exit(code)",
    )
    assert run.code == 0
    loaded = set(run.text.rpartition("MODULES")[2].split())
    assert sorted(loaded & HEAVY) == []
