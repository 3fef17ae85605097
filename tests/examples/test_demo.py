"""The main job: digits that training never saw, read through a generated module."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netdsl import demo
from netdsl.cli.main import main
from netdsl.tensorfile import read

EXAMPLES = Path(__file__).parents[2] / "examples"
LEAST = 0.97


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def reading(folder: Path) -> demo.Reading:
    return demo.read_digits(folder)


def test_the_accuracy_on_the_test_split(reading: demo.Reading) -> None:
    assert len(reading.labels) == 360
    assert reading.right.mean() >= LEAST


def test_the_module_needs_no_netdsl(reading: demo.Reading, folder: Path) -> None:
    """The same accuracy in a process that cannot import netdsl, through the module's own command line."""
    np.save(folder / "x.npy", reading.images[:, None].astype(np.float32) / 255)
    script = (
        "import runpy, sys; sys.modules['netdsl'] = None; "
        "sys.argv = ['digits.py', *'--weights digits.safetensors --input x.npy --output y.npy'.split()]; "
        "runpy.run_path('digits.py', run_name='__main__')"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, timeout=600)
    assert (np.load(folder / "y.npy").argmax(1) == reading.labels).mean() >= LEAST


def test_the_split_is_scikit_learn_s_and_training_never_saw_it(reading: demo.Reading) -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="the digits are scikit-learn's")
    selection = pytest.importorskip("sklearn.model_selection")
    data = datasets.load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)
    train, test, _, labels = selection.train_test_split(
        images, data.target, test_size=0.2, random_state=0, stratify=data.target
    )
    np.testing.assert_array_equal(reading.images, test)
    np.testing.assert_array_equal(reading.labels, labels)
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}


def test_every_digit_is_in_the_split_about_as_often(reading: demo.Reading) -> None:
    counts = np.bincount(reading.labels, minlength=10)
    assert counts.min() >= 34
    assert counts.max() <= 38


def misread(reading: demo.Reading) -> demo.Reading:
    """The same with two mistakes."""
    found = reading.found.copy()
    found[:2] = (reading.labels[:2] + np.array([1, 5])) % 10
    return demo.Reading(reading.images, reading.labels, found)


def test_the_contact_sheet_is_a_png_that_shows_the_pictures(reading: demo.Reading) -> None:
    image = pytest.importorskip("PIL.Image", reason="reads PNG")
    wrong = misread(reading)
    sheet = np.asarray(image.open(io.BytesIO(demo.contact_sheet(wrong))))
    first = wrong.found[0]
    mistaken = next(i for i in np.flatnonzero(wrong.found == first) if not wrong.right[i])
    step = 8 * demo.ZOOM + demo.GAP
    top = int(first) * step + demo.GAP
    pixels = sheet[top : top + 8 * demo.ZOOM : demo.ZOOM, demo.GAP : demo.GAP + 8 * demo.ZOOM : demo.ZOOM]
    np.testing.assert_array_equal(pixels, 255 - np.repeat(wrong.images[mistaken][..., None], 3, axis=2))
    assert (sheet == demo.RED).all(axis=2).sum() == 2 * ((step + demo.GAP) ** 2 - (8 * demo.ZOOM) ** 2)


def test_pictures_in_greys(reading: demo.Reading) -> None:
    text = demo.pictures(misread(reading), np.arange(3), colour=True)
    lines = text.splitlines()
    assert len(lines) == 4 + 2
    assert lines[0].count("\u2580") == 3 * 8
    top, below = (demo.GREYS + int(v) * 23 // 255 for v in reading.images[0, :2, 0])
    assert lines[0].startswith(f"\x1b[38;5;{top};48;5;{below}m")
    assert f"(is {reading.labels[0]})" in lines[4]


def test_pictures_in_plain_characters(reading: demo.Reading) -> None:
    text = demo.pictures(reading, np.arange(9), colour=False)
    assert text.isascii()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 3 * (8 + 2)
    assert all(len(line) <= demo.WIDTH for line in lines)
    assert lines[8].split() == [str(digit) for digit in reading.found[:4]]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    assert main(["demo", "-o", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("accuracy: ")
    assert out.isascii()
    assert str(folder / "digits.png") in err
    assert {path.name for path in folder.iterdir()} >= {"digits.py", "digits.safetensors", "digits.png"}


def test_a_second_run_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    assert main(["demo", "-o", str(tmp_path)]) == 0
    assert main(["demo", "-o", str(tmp_path)]) == 0
    (tmp_path / "digits.png").write_bytes(b"a holiday picture")
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert (tmp_path / "digits.png").read_bytes() == b"a holiday picture"
    assert main(["demo", "-o", str(tmp_path), "--force"]) == 0


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo", "-o", str(tmp_path / "file" / "folder")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error[E0602]" in err


def test_it_needs_neither_torch_nor_scikit_learn(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'triton', 'sklearn', 'PIL', 'lark'])); "
        f"from netdsl.cli.main import main; sys.exit(main(['demo', '-o', {str(tmp_path)!r}]))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=600, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"accuracy: " in done.stdout


def test_the_shipped_weights_are_small_and_real() -> None:
    path = EXAMPLES / "digits.safetensors"
    assert path.stat().st_size < 300_000
    assert all(tensor.dtype == np.float32 and np.isfinite(tensor).all() for tensor in read(path).values())
