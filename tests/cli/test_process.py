"""`sq3d` as a real process: pipes, signals, full disks, terminals, worker processes."""

from __future__ import annotations

import os
import pty
import resource
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import squeeze3d

from .conftest import RAW, Run, files_in, run_process

SQ3D = f"{shlex.quote(sys.executable)} -m squeeze3d"

SPECIAL_CODEC = """
import dataclasses, os, sys, time
from pathlib import Path
from squeeze3d.codecs import registry

raw = registry.codec_by_id("any.raw")

def encode(loaded, options, job):
    name = loaded.source.name
    job.progress("thinking", 0.5)
    Path(f"started-{os.getpid()}").write_text(os.environ.get("OMP_NUM_THREADS", "unset"))
    if "slow" in name:
        time.sleep(60)
    if "deadly" in name:
        os._exit(9)
    if "brief" in name:
        time.sleep(0.7)
        job.progress("writing", 0.9)
    return raw.encode(loaded, options, job)

registry._BY_ID["any.raw"] = dataclasses.replace(raw, encode=encode)
if "SLOW_DISK" in os.environ:
    os.fsync = lambda descriptor: (Path("started-disk").touch(), time.sleep(60))

if __name__ == "__main__":
    from squeeze3d.cli import main
    main()
"""


@pytest.fixture
def special(tmp_path: Path) -> list[str]:
    """Command line of an `sq3d` whose `any.raw` does as the file name says: `slow`, `deadly`, `brief`."""
    script = tmp_path / "special.py"
    script.write_text(SPECIAL_CODEC)
    return [sys.executable, str(script), "compress", *RAW]


def wait_for(pattern: str, count: int = 1) -> list[Path]:
    """Files that match, once there are enough."""
    for _ in range(400):
        found = list(Path().glob(pattern))
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{pattern} did not appear")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_pipeline_in_a_shell(glb: Path) -> None:
    line = f"cat triangle.glb | {SQ3D} compress - --codec any.raw -o - | {SQ3D} decompress - -o out.glb"
    subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], check=True, capture_output=True)
    assert Path("out.glb").read_bytes() == glb.read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_during_the_work_leave_nothing(
    special: list[str], cube: Path, number: signal.Signals, code: int
) -> None:
    cube.rename("slow.off")
    process = subprocess.Popen([*special, "slow.off"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("started-*")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, b"", b"interrupted\n")
    assert not list(Path().glob("*.sq3"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_during_the_write_remove_the_temporary_file(
    special: list[str], cube: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen([*special, "cube.off"], stderr=subprocess.PIPE, env={**os.environ, "SLOW_DISK": "1"})
    wait_for("started-disk")
    assert list(Path().glob(".cube.sq3*"))
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert err == b"interrupted\n"
    assert [name for name in files_in(Path()) if "sq3" in name] == []


def test_ctrl_c_stops_all_workers(special: list[str], cube: Path) -> None:
    for name in ("slow1.off", "slow2.off", "slow3.off"):
        Path(name).write_bytes(cube.read_bytes())
    process = subprocess.Popen(
        [*special, "slow1.off", "slow2.off", "slow3.off", "-j", "2"], stderr=subprocess.PIPE, start_new_session=True
    )
    started = wait_for("started-*", 2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"interrupted\n")
    assert not any(is_running(int(path.name.removeprefix("started-"))) for path in started)


def test_workers_end_when_their_parent_is_killed(special: list[str], cube: Path) -> None:
    for name in ("slow1.off", "slow2.off"):
        Path(name).write_bytes(cube.read_bytes())
    process = subprocess.Popen([*special, "slow1.off", "slow2.off", "-j", "2"], stderr=subprocess.DEVNULL)
    workers = [int(path.name.removeprefix("started-")) for path in wait_for("started-*", 2)]
    process.kill()
    process.wait()
    for _ in range(100):
        if not any(map(is_running, workers)):
            return
        time.sleep(0.05)
    raise AssertionError("workers outlived their parent")


def test_worker_that_dies_is_one_failed_file(special: list[str], cube: Path) -> None:
    names = ["a.off", "deadly.off", "b.off", "c.off"]
    for name in names:
        Path(name).write_bytes(cube.read_bytes())
    done = subprocess.run([*special, *names, "-j", "2"], capture_output=True)
    assert done.returncode == 6
    assert b"error: deadly.off: the worker process was killed" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(b"3 of 4 files, 1 failed")
    assert sorted(path.name for path in Path().glob("*.sq3")) == ["a.sq3", "b.sq3", "c.sq3"]


def test_workers_share_the_cores(special: list[str], cube: Path) -> None:
    for name in ("a.off", "b.off"):
        Path(name).write_bytes(cube.read_bytes())
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    subprocess.run([*special, "a.off", "b.off", "-j", "2"], check=True, capture_output=True, env=environment)
    shares = {path.read_text() for path in wait_for("started-*")}
    assert shares == {str(max(1, (os.cpu_count() or 1) // 2))}


def test_same_bytes_and_reports_with_several_processes(sq3d: Run, cube: Path, glb: Path, obj: Path) -> None:
    for jobs in ("1", "3"):
        run = sq3d("compress", cube, "missing.off", glb, obj, *RAW, "--output-dir", jobs, "-j", jobs, "--json")
        assert run.code == 3
        results = run.document["results"]
        assert [Path(result["input"]).name for result in results] == [
            "cube.off", "missing.off", "triangle.glb", "red.obj"
        ]  # fmt: skip
        assert results[1]["error"]["type"] == "InputError"
        back = sq3d("decompress", *Path(jobs).glob("*.sq3"), "-j", jobs, "--output-dir", f"back{jobs}")
        assert back.code == 0
    for name in files_in(Path("1")):
        assert (Path("1") / name).read_bytes() == (Path("3") / name).read_bytes()
    assert files_in(Path("back1")) == files_in(Path("back3"))


def test_full_disk_is_an_output_error_and_leaves_nothing(glb: Path) -> None:
    subprocess.run([*SQ3D.split(), "compress", "triangle.glb", *RAW, "-q"], check=True)
    done = subprocess.run(
        [*SQ3D.split(), "decompress", "triangle.sq3", "-o", "new.glb"],
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 5
    assert b"error: cannot write `new.glb`: file too large" in done.stderr
    assert files_in(Path()) == ["triangle.glb", "triangle.sq3"]


def test_reader_that_went_away_ends_the_program_quietly(cube: Path) -> None:
    for arguments in (("codecs",), ("--help",), ("compress", str(cube), *RAW, "-c", "-q")):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([*SQ3D.split(), *arguments], stdout=write_end, stderr=subprocess.PIPE)
        os.close(write_end)
        assert (done.returncode, done.stderr) == (1 if arguments == ("--help",) else 141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_standard_output_is_an_output_error(cube: Path) -> None:
    for arguments in (("codecs",), ("codecs", "--json"), ("compress", str(cube), *RAW, "-c", "-q")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*SQ3D.split(), *arguments], stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 5
        assert done.stderr.startswith(b"error: cannot write standard output: no space left on device\n")
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 5), ("2>&-", 0), ("<&-", 0), (">&- 2>&- <&-", 5)])
def test_closed_standard_streams_do_no_harm(cube: Path, redirection: str, code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{SQ3D} compress cube.off --codec any.raw -c {redirection}"], capture_output=True
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    named = subprocess.run(
        ["bash", "-c", f"{SQ3D} compress cube.off --codec any.raw {redirection}"], capture_output=True
    )
    assert named.returncode == 0
    assert squeeze3d.inspect(Path("cube.sq3").read_bytes())


def test_undecodable_names_survive(glb: Path) -> None:
    os.rename(b"triangle.glb", b"caf\xe9.glb")
    run = run_process("compress", *RAW, b"caf\xe9.glb", LC_ALL="C.UTF-8")
    assert run.code == 0, run.err
    assert os.path.exists(b"caf\xe9.sq3")
    assert "caf\\udce9.glb" in run.err
    run = run_process("info", b"caf\xe9.sq3", LC_ALL="C.UTF-8")
    assert run.code == 0
    assert "caf\\udce9.sq3" in run.text


def on_terminal(
    command: list[str], *, stdin: bool = False, stdout: bool = False, **environment: str
) -> tuple[int, str]:
    """Exit code of a command and what it wrote to the terminal that is its stderr."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=theirs if stdin else subprocess.DEVNULL,
        stdout=theirs if stdout else subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        shown += piece
        if not piece:
            break
    os.close(ours)
    return process.wait(), shown.decode()


def test_terminal_is_neither_read_nor_fed_with_binary(cube: Path) -> None:
    code, shown = on_terminal([*SQ3D.split(), "compress", "-", *RAW, "-o", "x.sq3"], stdin=True)
    assert code == 2
    assert "standard input is a terminal" in shown
    code, shown = on_terminal([*SQ3D.split(), "compress", "cube.off", *RAW, "-c"], stdout=True)
    assert code == 5
    assert "standard output is a terminal" in shown


def test_long_work_shows_progress_on_a_terminal_and_takes_it_away(special: list[str], cube: Path) -> None:
    cube.rename("brief.off")
    code, shown = on_terminal([*special, "brief.off"])
    assert code == 0
    assert "brief.off: writing" in shown
    assert "\x1b[2K" in shown  # the line is erased
    assert shown.rstrip().splitlines()[-1].endswith(" s")
    for flags, terminal in (["-q"], "xterm"), ([], "dumb"):
        _, shown = on_terminal([*special, "brief.off", "-f", *flags], TERM=terminal)
        assert "writing" not in shown
        assert "\x1b" not in shown


def test_no_colour_is_obeyed(cube: Path) -> None:
    command = [*SQ3D.split(), "compress", "missing.off"]
    assert "\x1b[1;31merror:" in on_terminal(command)[1]
    assert "\x1b" not in on_terminal(command, NO_COLOR="1")[1]
