"""Files that a generated script reads and writes: refused in one line, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from generated import load_source, random_weights
from safetensors.numpy import save_file
from test_numpy_module import classifier, image, run, two_inputs

from netdsl.codegen.numpy.backend import compile_graph
from netdsl.tensor import DType

WEIGHTS = ("--weights", "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A module with weights and an input."""
    for name, graph in (("model", classifier()), ("pair", two_inputs())):
        compile_graph(graph).write(tmp_path / f"{name}.py")
        save_file(random_weights(graph, DType.FLOAT32), tmp_path / f"{name}.safetensors")
    np.save(tmp_path / "x.npy", image(2))
    return tmp_path


@pytest.fixture
def module() -> ModuleType:
    return load_source(compile_graph(classifier()).source)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(folder: Path, *arguments: str, status: int, said: str) -> None:
    """The script says so in one line, soon, and leaves every file as it was."""
    before, start = contents(folder), time.monotonic()
    done = run(folder, "model.py", *arguments)
    assert time.monotonic() - start < 10
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert re.fullmatch(r"error: [^\n]*\n", done.stderr), done.stderr
    assert said in done.stderr
    assert contents(folder) == before


# Output.


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("model.safetensors", "must end in .npy or .npz"),
        ("y.txt", "must end in .npy or .npz"),
        ("x.npy", "it exists"),
        ("none/y.npy", "there is no such folder"),
        ("folder.npy", "it is a folder"),
        ("dangling.npy", "it exists"),
    ],
)
def test_a_name_that_cannot_take_the_results_is_refused(folder: Path, output: str, said: str) -> None:
    (folder / "folder.npy").mkdir()
    (folder / "dangling.npy").symlink_to("nowhere")
    refused(folder, *WEIGHTS, "--input", "x.npy", "--output", output, status=2, said=said)
    if said != "it exists":
        refused(folder, *WEIGHTS, "--input", "x.npy", "--output", output, "--force", status=2, said=said)


def test_an_existing_file_is_replaced_when_told(folder: Path) -> None:
    (folder / "y.npy").write_bytes(b"old")
    (folder / "link.npy").symlink_to("y.npy")
    assert run(folder, "model.py", *WEIGHTS, "--input", "x.npy", "--output", "link.npy", "--force").returncode == 0
    assert np.load(folder / "y.npy").shape == (2, 5)
    assert (folder / "link.npy").is_symlink()
    assert not list(folder.glob("*.part"))


def test_a_failure_while_writing_leaves_nothing(module: ModuleType, tmp_path: Path) -> None:
    def fail(file: Any, _: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    module.write_npy = fail  # type: ignore[attr-defined]
    (tmp_path / "y.npy").write_bytes(b"old")
    for name in ("y.npy", "z.npz"):
        with pytest.raises(module.ModelError, match=r"cannot write .*: No space left on device"):
            module.save(str(tmp_path / name), (np.zeros(3),))
    assert contents(tmp_path) == {"y.npy": b"old"}


def test_equal_results_make_equal_archives_whatever_their_names(module: ModuleType, tmp_path: Path) -> None:
    module.OUTPUTS = {"file": None, "allow_pickle": None}  # type: ignore[attr-defined]
    for name in ("a.npz", "b.npz"):
        module.save(str(tmp_path / name), (np.arange(3.0), np.array(1.0)))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as archive:
        np.testing.assert_array_equal(archive["file"], np.arange(3.0))
        assert archive["allow_pickle"] == 1


# Input.


def npy(header: str, body: bytes = b"", version: bytes = b"\1\0") -> bytes:
    length = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + length + header.encode() + body


def header(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a .npy file"),
        (b"junk", "not a .npy file"),
        (b"\x80\4K\1.", "not a .npy file"),
        (b"\x93NUMPY", "not a .npy file"),
        (npy("{"), "not a .npy file"),
        (npy("[" * 5000), "not a .npy file"),
        (npy("{}"), "not a .npy file"),
        (npy(header("3")), "not a .npy file"),
        (npy(header("(True,)")), "not a .npy file"),
        (npy(header("(-1,)")), "not a .npy file"),
        (npy(header("(10**9,)")), "not a .npy file"),
        (npy(header("(1000000000, 3, 8, 8)")), "announces 768000000000 bytes of numbers, but 0 follow"),
        (npy(header("(1,)"), b"12345"), "announces 4 bytes of numbers, but 5 follow"),
        (npy(header("(0, 4611686018427387904, 4611686018427387904)")), "is too large"),
        (npy(header("(1,)", "'|O'"), b"\x80\4K\1."), "holds |O, not float32"),
        (npy(header("(1,)", "[('a', '<f4')]"), b"1234"), "not float32"),
        (npy(header("(1,)", "'|u1'"), b"1"), "holds |u1, not float32, float64, float16, int64, bool"),
    ],
)
def test_a_damaged_or_lying_array_is_refused_in_a_line(folder: Path, data: bytes, said: str) -> None:
    (folder / "bad.npy").write_bytes(data)
    refused(folder, *WEIGHTS, "--input", "bad.npy", status=1, said=said)


@pytest.mark.parametrize("array", [np.zeros((0, 3)), np.float32(1), np.arange(6).reshape(2, 3), np.array([True])])
def test_arrays_are_read_as_numpy_reads_them(module: ModuleType, tmp_path: Path, array: Any) -> None:
    for order in "CF":
        np.save(tmp_path / "x.npy", np.asarray(array, order=order))  # type: ignore[call-overload]
        found = module.read_input("image", str(tmp_path / "x.npy"))
        np.testing.assert_array_equal(found, array, strict=True)
    for version in ((2, 0), (3, 0)):
        with open(tmp_path / "x.npy", "wb") as file:
            np.lib.format.write_array(file, np.asarray(array), version=version)
        np.testing.assert_array_equal(module.read_input("image", str(tmp_path / "x.npy")), array, strict=True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--bench", "--batch", "0"), 2, "--batch 0: at least one sample"),
        (("--profile", "--batch", "-1"), 2, "--batch -1: at least one sample"),
        (("--bench", "--batch", "100000000000"), 2, "--batch 100000000000: takes"),
        (("--input", "x.npy", "--input", "image=x.npy"), 2, "--input gives image twice"),
    ],
)
def test_a_wrong_command_line_is_refused_in_a_line(
    folder: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    refused(folder, *WEIGHTS, *arguments, status=status, said=said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are Unix")
def test_a_named_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.npy")
    os.mkfifo(folder / "pipe.png")
    for name in ("pipe.npy", "pipe.png", "."):
        refused(folder, *WEIGHTS, "--input", name, status=2, said=f"--input {name}: not an ordinary file")


def test_a_path_with_an_equals_sign_is_a_path(folder: Path) -> None:
    (folder / "lr=0.1").mkdir()
    os.rename(folder / "x.npy", folder / "lr=0.1" / "x.npy")
    given = f"{folder}/lr=0.1/x.npy"
    assert run(folder, "model.py", *WEIGHTS, "--input", given).returncode == 0


# Weights.


def test_tensors_of_another_net_are_listed_to_an_end_and_cannot_write_to_the_terminal(
    module: ModuleType, tmp_path: Path
) -> None:
    weights = random_weights(classifier(), DType.FLOAT32)
    others = {f"\x1b[31mother.{i}\n": np.zeros(1, np.float32) for i in range(50)}
    save_file({**weights, **others, "z" * 1000: np.zeros(1, np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(module.ModelError) as caught:
        module.load(tmp_path / "w.safetensors")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[-1].strip() == "and 31 more are not"
    assert lines[1].strip() == r"\u001b[31mother.0\u000a is not a weight of this network"


def test_a_name_given_twice_is_refused(module: ModuleType, tmp_path: Path) -> None:
    weights = random_weights(classifier(), DType.FLOAT32)
    save_file(weights, tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].decode().rstrip()
    entry = json.dumps("fc.bias") + ":" + json.dumps(json.loads(text)["fc.bias"])
    text = text[:-1] + "," + entry + "}"
    text += " " * (-len(text) % 8)
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text.encode() + data[8 + length :])
    with pytest.raises(module.ModelError, match=r"fc\.bias twice|not a readable safetensors file"):
        module.load(tmp_path / "w.safetensors")


def test_weights_that_are_no_ordinary_file_are_refused(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(module.ModelError, match="not an ordinary file"):
        module.load(tmp_path)
