"""`sq3d compare`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from squeeze3d.quality import report
from squeeze3d.quality.measure import Reference

from .conftest import RAW, Run, files_in, run_process
from .test_help import HEAVY

CLOUD = "ply\nformat ascii 1.0\nelement vertex 3\n" + "".join(f"property float {axis}\n" for axis in "xyz")
CLOUD += "end_header\n0 0 0\n1 0 0\n0 1 0\n"


@pytest.fixture(autouse=True)
def _small_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of the usual size take most of the time; `tests/quality` looks at them."""
    monkeypatch.setattr(report, "Reference", partial(Reference, resolution=64, supersample=1))


@pytest.fixture
def packed(sq3d: Run, cube: Path) -> Path:
    """`cube.sq3`."""
    assert sq3d("compress", cube, *RAW, "-q").code == 0
    return cube.with_suffix(".sq3")


def test_a_file_and_its_lossless_copy_show_no_difference(sq3d: Run, cube: Path, packed: Path) -> None:
    run = sq3d("compare", cube, packed)
    assert (run.code, run.err) == (0, "")
    lines = run.text.splitlines()
    assert lines[0].split() == ["cube.off", f"{cube.stat().st_size}", "B", "12", "triangles"]
    assert lines[1].split()[-1] == "any.raw"
    rows = {line[2:20].strip(): line[22:].strip() for line in lines[2:]}
    assert rows["quality level"] == "identical"
    assert rows["albedo PSNR"].split()[0] == rows["shaded PSNR"] == "infinite"
    assert rows["MS-SSIM"].split() == ["1.0000", "3", "scales"]
    assert rows["FLIP"] == "0.0000"
    assert rows["chamfer distance"] == "0.0000 %"
    assert rows["LPIPS"]


def test_json_has_stable_keys(sq3d: Run, cube: Path, packed: Path) -> None:
    run = sq3d("compare", cube, packed, "--json")
    document = run.document
    assert document["command"] == "compare"
    (result,) = document["results"]
    assert result["input"] == str(cube)
    assert result["kind"] == "mesh"
    assert result["identical"] is True
    assert result["metrics"]["psnr"] is None
    assert "psnr" in result["infinite"]
    assert result["metrics"]["ms_ssim"] == 1
    assert result["metrics"]["flip"] == result["metrics"]["chamfer_percent"] == 0
    assert result["original"]["bytes"] == cube.stat().st_size
    assert result["other"]["codec"] == "any.raw"
    assert result["ratio"] == round(cube.stat().st_size / packed.stat().st_size, 3)
    assert result["rig"] == {"views": 12, "resolution": 64, "supersample": 1}
    assert "lpips" in result["unavailable"] or result["metrics"]["lpips"] == 0
    assert result["files"] == {}


def test_writes_sheet_and_page(sq3d: Run, cube: Path, packed: Path) -> None:
    run = sq3d("compare", cube, packed, "--image", "sheet.png", "--html", "page.html", "--json")
    assert run.code == 0
    assert run.err == "wrote sheet.png\nwrote page.html\n"
    assert run.document["results"][0]["files"] == {"image": "sheet.png", "html": "page.html"}
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")
    assert Path("page.html").read_bytes().startswith(b"<!doctype html>")
    assert files_in(Path()) == ["cube.off", "cube.sq3", "page.html", "sheet.png"]


def test_refuses_to_overwrite_before_any_work(sq3d: Run, cube: Path, packed: Path) -> None:
    Path("sheet.png").write_bytes(b"mine")
    run = sq3d("compare", cube, packed, "--image", "sheet.png")
    assert run.code == 5
    assert "`sheet.png` exists" in run.err
    for name in (cube, packed):
        run = sq3d("compare", cube, packed, "--html", name, "-f")
        assert run.code == 5
        assert "`-o`" not in run.err
    assert sq3d("compare", cube, packed, "--image", "no/sheet.png").code == 5
    assert Path("sheet.png").read_bytes() == b"mine"
    assert sq3d("compare", cube, packed, "--image", "sheet.png", "-f", "-q").code == 0
    assert Path("sheet.png").read_bytes() != b"mine"


def test_different_kinds_cannot_be_compared(sq3d: Run, cube: Path) -> None:
    Path("points.ply").write_text(CLOUD)
    run = sq3d("compare", cube, "points.ply")
    assert run.code == 2
    assert run.err.startswith("error: `cube.off` holds a mesh, `points.ply` a point cloud\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["cube.off"], 2, "missing argument"),
        (["cube.off", "none.sq3"], 3, "no such file: `none.sq3`"),
        (["none.off", "cube.off"], 3, "no such file: `none.off`"),
        (["cube.off", "."], 3, "is a directory"),
        (["cube.off", "notes.txt"], 4, "cannot tell what kind of file `notes.txt` is"),
        (["cube.off", "broken.sq3"], 3, "cut short"),
        (["-", "-"], 2, "not both"),
        (["cube.off", "cube.off", "--image", "-"], 2, "`--image` needs the name of a file"),
        (["cube.off", "cube.off", "--image", "a", "--html", "./a"], 2, "name the same file"),
        (["cube.off", "cube.off", "--max-memory", "x"], 2, "`--max-memory x` is not a size"),
    ],
)
def test_wrong_requests_end_in_one_line(
    sq3d: Run, cube: Path, packed: Path, arguments: list[str], code: int, message: str
) -> None:
    Path("notes.txt").write_text("hello")
    Path("broken.sq3").write_bytes(packed.read_bytes()[:-9])
    run = sq3d("compare", *arguments)
    assert (run.code, run.out) == (code, b"")
    assert message in run.err.splitlines()[0]


def test_takes_either_side_from_standard_input(sq3d: Run, cube: Path, packed: Path) -> None:
    for arguments, content in (((cube, "-"), packed.read_bytes()), (("-", packed), cube.read_bytes())):
        run = sq3d("compare", *arguments, "--json", stdin=content)
        assert run.code == 0
        assert run.document["results"][0]["identical"]


def test_side_files_count(sq3d: Run, obj: Path) -> None:
    record = sq3d("compare", obj, obj, "--json").document["results"][0]
    assert record["original"]["bytes"] == obj.stat().st_size + Path("red.mtl").stat().st_size


def test_verbose_explains_figures_and_how_to_get_missing_ones(sq3d: Run, cube: Path) -> None:
    plain, wordy = (sq3d("compare", cube, cube, *flags).text for flags in ((), ("-v",)))
    assert "Overlap of the silhouettes" in wordy
    assert "Overlap of the silhouettes" not in plain
    if "unavailable" in plain:
        assert "To have the missing figures:" in wordy


def test_help_loads_nothing_heavy() -> None:
    script = "import sys; from squeeze3d.cli.run import run; run(None); print(*{m.split('.')[0] for m in sys.modules})"
    run = run_process("compare", "--help", script=script)
    lines = run.text.splitlines()
    assert lines[2].startswith("  Example: sq3d compare chair.glb chair.sq3")
    assert not HEAVY & set(lines[-1].split())
