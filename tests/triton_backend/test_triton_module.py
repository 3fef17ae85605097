"""The generated module as a file: what it says, what it refuses, what a script does with it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpreted import random_inputs, random_weights
from safetensors.numpy import save_file
from small_nets import NETS, make

from netdsl import codes
from netdsl.codegen.numpy.backend import compile_graph as compile_for_numpy
from netdsl.codegen.triton.backend import compile_graph
from netdsl.diagnostics import NetError
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Concat, Conv, Fc, Flatten, Mean, Pool, Relu
from netdsl.reference.interpret import interpret
from netdsl.tensor import DType, TensorType

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(not (find_spec("torch") and find_spec("triton")), reason="needs torch and triton")


def digits() -> Graph:
    """A small net on grey images."""
    builder = GraphBuilder("Digits")
    x = builder.input("image", TensorType((1, 8, 8)))
    (y,) = builder.node(Conv(6, (3,), padding=(1,)), (x,), name="conv")
    (y,) = builder.node(Relu(), (y,), name="relu")
    (y,) = builder.node(Pool("max", (2,)), (y,), name="pool")
    (y,) = builder.node(Flatten(), (y,), name="flatten")
    (y,) = builder.node(Fc(10), (y,), name="fc")
    return builder.result("scores", y).finish()


def strange() -> Graph:
    """Names that must not reach the code as they are."""
    builder = GraphBuilder("class")
    x = builder.input("x", TensorType((4, 6, 6)))
    batch = builder.input("batch", TensorType((4, 6, 6)))
    torch = builder.input("torch", TensorType((4, 6, 6)))
    values = [x, batch, torch]
    for name in (
        "__import__",
        "a'b",
        'a"b',
        "lambda",
        "self",
        "naïve",
        "a.b",
        "a_b",
        "x y\n1 + 1",
        "0",
        "tile",
        "{{ 7 }}",
    ):
        (y,) = builder.node(Conv(4, (3,), padding=(1,)), (values[-1],), name=name)
        (y,) = builder.node(Add(), (y, values[-2]), name=f"{name}+")
        values.append(y)
    return builder.result("print", values[-1]).result("y", values[-2]).finish()


GRAPHS = {"digits": digits, "strange": strange, **{name: (lambda name=name: make(name)) for name in NETS}}


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_the_text_is_python_that_ruff_accepts(name: str, tmp_path: Path) -> None:
    path = tmp_path / "generated.py"
    compile_graph(GRAPHS[name](), DType.FLOAT16).write(path)
    ast.parse(path.read_text())
    if find_spec("ruff"):
        # Constants of kernels are written in capitals.
        options = ["--config", str(ROOT / "pyproject.toml"), "--extend-ignore", "N803"]
        command = [sys.executable, "-m", "ruff", "check", *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_only_the_backends_libraries_are_imported() -> None:
    tree = ast.parse(compile_graph(digits()).source)
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported - sys.stdlib_module_names == {"torch", "triton", "safetensors"}


def test_equal_input_gives_equal_bytes() -> None:
    script = "import sys; sys.path[:0] = ['tests/passes', 'tests/triton_backend']\n"
    script += "from test_triton_module import GRAPHS, compile_graph\nimport zlib\n"
    script += "print([zlib.crc32(compile_graph(GRAPHS[n]()).source.encode()) for n in sorted(GRAPHS)])"
    here = [zlib.crc32(compile_graph(GRAPHS[name]()).source.encode()) for name in sorted(GRAPHS)]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=ROOT)
        assert json.loads(done.stdout) == here, done.stderr


def test_writing_a_module_needs_neither_torch_nor_triton() -> None:
    script = """
import sys
from netdsl.codegen.triton.backend import compile_graph
from netdsl.ir.build import GraphBuilder
from netdsl.ops import Fc
from netdsl.tensor import TensorType
builder = GraphBuilder("Small")
(y,) = builder.node(Fc(3), (builder.input("x", TensorType((5,))),), name="fc")
compile_graph(builder.result("y", y).finish())
assert not {"torch", "triton", "numpy"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_element_types_that_it_lacks_are_refused() -> None:
    with pytest.raises(NetError) as caught:
        compile_graph(digits(), DType.FLOAT64)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [codes.UNSUPPORTED_DTYPE]
    assert "float32, tf32, float16, bfloat16, float8, not in float64" in caught.value.diagnostics[0].message


def test_the_plan_stands_at_the_top_and_names_layers_kernels_and_tiles() -> None:
    source = compile_graph(digits(), DType.FLOAT16, source_name="/home/somebody/digits.net").source
    head = source.partition("import argparse")[0]
    assert "from digits.net, net Digits" in head
    assert "somebody" not in source
    rows = [line.split()[1:4] for line in head.splitlines() if line.startswith("# ")][4:7]
    assert rows == [["conv", "conv_packed_relu", "6x8x8"], ["pool", "max_pool", "6x4x4"], ["fc", "gemm", "10"]]


def test_layers_that_differ_in_extents_only_share_a_kernel() -> None:
    builder = GraphBuilder("Shared")
    y = builder.input("x", TensorType((16, 9, 9)))
    for index, width in enumerate((32, 48, 64)):
        (y,) = builder.node(Conv(width, (3,), padding=(index,)), (y,), name=f"conv{index}")
        (y,) = builder.node(Relu(), (y,), name=f"relu{index}")
    source = compile_graph(builder.result("y", y).finish()).source
    assert source.count("def conv_relu(") == 1
    assert source.count(", (conv_relu,),") == 3


def test_no_kernel_overwrites_what_a_later_one_reads() -> None:
    """The arena's bytes, replayed: each value is still there, whole, whenever it is read."""
    for name, graph in GRAPHS.items():
        module: dict[str, Any] = {}
        artifact = compile_graph(graph(), DType.FLOAT16)
        places: dict[str, tuple[int, int]] = {}
        for line in artifact.plan.splitlines():
            if line.startswith("  buffer"):
                text, _, size = line.rpartition(", ")
                value, _, offset = text.partition(": ")
                start = int(offset.rpartition(" at ")[2])
                places[value.removeprefix("  buffer ")] = (start, start + int(size.removesuffix(" bytes")))
        body = artifact.source.partition("def carve")[2].partition("def forward")[0]
        carved = {
            line.split("=")[0].strip().removeprefix("a."): [
                int(n) for n in line.split("(")[1].split(")")[0].split(",")[:2]
            ]
            for line in body.splitlines()
            if "= place(" in line
        }
        assert {key: (start, start + size) for key, (start, size) in carved.items()} == places, name
        holder: dict[str, tuple[int, int]] = {}
        forward = artifact.source.partition("def forward")[2].partition("\ndef ")[0]
        for call in re.split(r"\b(?:run|convolve|multiply)\(\n", forward)[1:]:
            arguments = re.split(r"\n *\)", call)[0].replace("\n", " ")
            used = [word.removeprefix("a.") for word in re.split(r"[ ,()[]+", arguments) if word.startswith("a.")]
            # What is written comes last, but for results of the network, which lie elsewhere.
            written = {word for word in used if word not in holder}
            for word in used:
                if word not in written:
                    assert holder[word] == places[word], f"{name}: {word} is gone"
            for word in written:
                start, end = places[word]
                holder = {key: at for key, at in holder.items() if at[1] <= start or end <= at[0]}
                holder[word] = places[word]
        del module


def test_offsets_beyond_32_bits_are_foreseen() -> None:
    builder = GraphBuilder("Large")
    x = builder.input("x", TensorType((64, 1024, 1024)))
    (y,) = builder.node(Relu(), (x,), name="relu")
    source = compile_graph(builder.result("y", y).finish()).source
    assert "WIDE=67108864 * batch >= 2**31" in source
    builder = GraphBuilder("Rows")
    x = builder.input("x", TensorType((64, 1024, 1024)))
    (y,) = builder.node(Conv(3, (3,)), (x,), name="conv")
    source = compile_graph(builder.result("y", y).finish()).source
    assert f"MAX_BATCH = {(2**31 - 2**16) // 1022**2}\n" in source


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A module with weights, inputs, and what it should make of them."""
    graph = digits()
    compile_graph(graph).write(tmp_path / "digits.py")
    weights, inputs = random_weights(graph, DType.FLOAT32), random_inputs(graph, DType.FLOAT32, 3)
    save_file(weights, tmp_path / "digits.safetensors")
    np.save(tmp_path / "x.npy", inputs["image"])
    np.save(tmp_path / "wanted.npy", interpret(graph, inputs, weights)[0])
    return tmp_path


def run_python(folder: Path, *command: str, interpret: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRITON_", "PYTHONPATH"))}
    environment["OMP_NUM_THREADS"] = "1"
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, cwd=folder)


@needs_triton
@pytest.mark.triton
def test_the_script_runs_on_arrays_and_images(files: Path) -> None:
    weights = ["digits.py", "--weights", "digits.safetensors"]
    done = run_python(files, *weights, "--input", "x.npy", "--output", "y.npy")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    np.testing.assert_allclose(np.load(files / "y.npy"), np.load(files / "wanted.npy"), rtol=0, atol=1e-5)
    x = np.load(files / "x.npy")
    np.save(files / "fortran.npy", np.asfortranarray(x))
    done = run_python(files, *weights, "--input", "image=fortran.npy", "--output", "y.npz")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(files / "y.npz")["scores"], np.load(files / "wanted.npy"), rtol=0, atol=1e-5)
    for name, text in (("short", b"\x93NUMPY\1\0"), ("pickle", b"\x80\4K\1.")):
        (files / f"{name}.npy").write_bytes(text)
        done = run_python(files, *weights, "--input", f"{name}.npy")
        assert done.returncode == 1
        assert "not a .npy file" in done.stderr
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    pillow = pytest.importorskip("PIL.Image")
    pillow.fromarray(grey).save(files / "grey.png")
    np.save(files / "grey.npy", (grey[None, None] / 255).astype(np.float32))
    seen = [run_python(files, *weights, "--input", name) for name in ("grey.png", "grey.npy")]
    assert seen[0].stdout == seen[1].stdout
    assert "scores: 1 x 10" in seen[0].stdout
    assert "grey.png: 1 x 8 x 8, read as pixels / 255, exact size, not resized\n" in seen[0].stderr


def test_both_backends_read_and_write_files_alike() -> None:
    texts = [compile(digits()).source for compile in (compile_graph, compile_for_numpy)]
    for name in (
        "check_output",
        "input_paths",
        "input_path",
        "npy_content",
        "save",
        "read_png",
        "png_chunks",
        "check_header",
    ):
        bodies = [text.partition(f"\ndef {name}(")[2].partition("\n\n\n")[0] for text in texts]
        assert bodies[0] == bodies[1] != ""


def test_layers_of_one_shape_share_their_tiles() -> None:
    builder = GraphBuilder("Shared")
    y = builder.input("x", TensorType((16, 9, 9)))
    for index in range(3):
        (y,) = builder.node(Conv(16, (3,), padding=(1,)), (y,), name=f"conv{index}")
    source = compile_graph(builder.result("y", y).finish(), DType.FLOAT16).source
    name = '"conv 3x3 16x9x9 to 16x9x9"'
    assert source.count(f"{name}: {{") == 1, "one entry of SHAPES"
    assert source.count(f"{name}: (") == 4, "one entry of WORK, and of TILES for each kind of GPU"
    assert source.partition("def forward")[2].count(name) == 3


@needs_triton
@pytest.mark.triton
def test_the_script_refuses_in_a_line_and_leaves_files_alone(files: Path) -> None:
    (files / "junk.npy").write_bytes(b"junk")
    np.save(files / "integers.npy", np.zeros((1, 1, 8, 8), np.uint8))
    (files / "x.png").write_bytes(b"GIF89a")
    before = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    for arguments, status, said in (
        ("--input x.npy --output digits.safetensors", 2, "must end in .npy or .npz"),
        ("--input x.npy --output x.npy", 2, "it exists"),
        ("--input x.npy --input image=x.npy", 2, "--input gives image twice"),
        ("--bench --batch 0", 2, "--batch 0: at least one sample"),
        ("--bench --batch 100000000000", 2, "at most 17179869184 are used"),
        ("--input junk.npy", 1, "not a .npy file"),
        ("--input integers.npy", 1, "holds |u1, not float32"),
        ("--input x.png", 1, "not a PNG file"),
    ):
        done = run_python(files, "digits.py", "--weights", "digits.safetensors", *arguments.split())
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
    names = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    assert names == before


@needs_triton
@pytest.mark.triton
def test_a_model_takes_any_batch_and_refuses_what_does_not_fit(files: Path) -> None:
    done = run_python(files, "-W", "ignore::RuntimeWarning", str(Path(__file__).parent / "check_model.py"))
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.triton
def test_without_a_gpu_the_error_says_what_to_do(files: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("here is a GPU")
    done = run_python(files, "digits.py", "--weights", "digits.safetensors", "--input", "x.npy", interpret=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("error: needs an NVIDIA GPU (sm_80 or newer); compile with --backend numpy to run here\n")
    script = (
        "import digits\ntry: digits.load('digits.safetensors', device='cpu')\nexcept digits.ModelError as e: print(e)"
    )
    done = run_python(files, "-c", script, interpret=False)
    assert done.stdout == "needs an NVIDIA GPU (sm_80 or newer); compile with --backend numpy to run here\n"


def test_without_triton_the_import_says_what_is_missing(files: Path) -> None:
    script = "import sys; sys.modules['triton'] = None\ntry: import digits\nexcept ImportError as e: print(e)"
    done = run_python(files, "-c", script, interpret=False)
    assert "is not installed" in done.stdout, done.stderr
    assert "compile with --backend numpy to run here" in done.stdout


def test_joins_and_reductions_are_named_after_word_and_shape() -> None:
    builder = GraphBuilder("Names")
    x = builder.input("x", TensorType((4, 6, 6)))
    (y,) = builder.node(Concat(), (x, x), name="join")
    (z,) = builder.node(Mean((1, 2)), (y,), name="average")
    source = compile_graph(builder.result("y", y).result("z", z).finish()).source
    assert "def concat_8x6x6(" in source
    assert "def mean_8x6x6(" in source
