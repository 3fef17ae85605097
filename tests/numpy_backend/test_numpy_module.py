"""What a generated module promises to those who import or run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from generated import compare, load_model, load_source, random_inputs, random_weights
from safetensors.numpy import save_file
from small_nets import make

from netdsl import codes, images
from netdsl.codegen.numpy.backend import compile_graph
from netdsl.diagnostics import NetError
from netdsl.ir.build import GraphBuilder
from netdsl.ir.graph import Graph
from netdsl.ops import Add, Conv, Embed, Fc, Flatten, Pool, Relu
from netdsl.tensor import DType, TensorType


def two_inputs() -> Graph:
    builder = GraphBuilder("Pair")
    image = builder.input("image", TensorType((3, 6, 5)))
    mask = builder.input("mask", TensorType((3, 6, 5)))
    (joined,) = builder.node(Add(), (image, mask), name="add")
    (y,) = builder.node(Conv(4, (3,)), (joined,), name="conv")
    (z,) = builder.node(Relu(), (y,), name="relu")
    return builder.result("y", y).result("z", z).finish()


def classifier() -> Graph:
    builder = GraphBuilder("Classifier")
    value = builder.input("image", TensorType((1, 8, 7)))
    for op, name in ((Conv(4, (3,)), "conv"), (Relu(), "relu"), (Pool("max", (2,)), "pool"), (Flatten(), "flatten")):
        (value,) = builder.node(op, (value,), name=name)
    (value,) = builder.node(Fc(5), (value,), name="fc")
    return builder.result("scores", value).finish()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`model.py` and `weights.safetensors` of the classifier, and of the net with two inputs."""
    for name, graph in (("model", classifier()), ("pair", two_inputs())):
        compile_graph(graph, source_name="nets/model.net").write(tmp_path / f"{name}.py")
        save_file(random_weights(graph, DType.FLOAT32), tmp_path / f"{name}.safetensors")
    return tmp_path


@pytest.fixture
def module() -> ModuleType:
    return load_source(compile_graph(classifier(), source_name="nets/model.net").source)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=600)


def image(n: int = 2) -> Any:
    return random_inputs(classifier(), DType.FLOAT32, n)["image"]


# As a library.


def test_it_imports_numpy_and_safetensors_and_no_netdsl_and_changes_nothing(folder: Path) -> None:
    script = """
import json, os, sys, threading, warnings
import numpy, safetensors
before = (dict(os.environ), numpy.geterr(), list(sys.path), threading.active_count(), list(warnings.filters))
known = set(sys.modules)
import model
after = (dict(os.environ), numpy.geterr(), list(sys.path), threading.active_count(), list(warnings.filters))
assert before == after
new = {name.partition(".")[0] for name in set(sys.modules) - known}
print(json.dumps(sorted(new - set(sys.stdlib_module_names) - {"model"})))
assert not any(name.partition(".")[0] == "netdsl" for name in sys.modules)
"""
    done = run(folder, "-c", script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_results_belong_to_the_caller() -> None:
    graph = two_inputs()
    model = load_model(compile_graph(graph), random_weights(graph, DType.FLOAT32))
    inputs = random_inputs(graph, DType.FLOAT32, 2)
    first = model(**inputs)
    kept = [result.copy() for result in first]
    model(image=inputs["image"] + 1, mask=inputs["mask"])
    for result, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(result, copy)
        assert result.flags.owndata
        assert result.flags.c_contiguous
        assert result.flags.writeable
    assert not np.shares_memory(*first)


def test_an_input_is_never_written() -> None:
    for name in ("identities", "joins", "squeeze", "norms_stay"):
        graph = make(name)
        model = load_model(compile_graph(graph), random_weights(graph, DType.FLOAT32))
        inputs = random_inputs(graph, DType.FLOAT32, 2)
        for array in inputs.values():
            array.flags.writeable = False
        model(*inputs.values())


def test_any_number_of_samples_in_any_order() -> None:
    graph = classifier()
    model = load_model(compile_graph(graph), random_weights(graph, DType.FLOAT32))
    x = image(5)
    whole = model(x)
    for n in (1, 3, 1, 5, 2):
        np.testing.assert_allclose(model(x[:n]), whole[:n], rtol=1e-5, atol=1e-6)
    assert model(x[:0]).shape == (0, 5)
    np.testing.assert_allclose(model(np.asfortranarray(x)), whole, rtol=1e-5, atol=1e-6)


def test_calls_from_several_threads_do_not_disturb_each_other() -> None:
    graph = make("residual")
    model = load_model(compile_graph(graph, DType.FLOAT64), random_weights(graph, DType.FLOAT64))
    inputs = [next(iter(random_inputs(graph, DType.FLOAT64, 1 + seed % 3, seed).values())) for seed in range(6)]
    wanted = [model(x) for x in inputs]
    failed: list[int] = []

    def work(index: int) -> None:
        failed.extend(index for _ in range(20) if not np.array_equal(model(inputs[index]), wanted[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_overflow_is_silent_and_gives_infinities_as_elsewhere() -> None:
    graph = make("joins")
    model = load_model(compile_graph(graph), random_weights(graph, DType.FLOAT32))
    inputs = {name: 1e30 * array for name, array in random_inputs(graph, DType.FLOAT32, 1).items()}
    model(*inputs.values())  # warnings are errors in these tests


# What does not fit.


@pytest.mark.parametrize(
    ("array", "said"),
    [
        ([[1.0]], "image is a list, expected a NumPy array"),
        (np.zeros((2, 1, 8, 7)), "image holds float64, expected float32"),
        (np.zeros((1, 8, 7), np.float32), "image is 1 x 8 x 7, expected N x 1 x 8 x 7"),
        (np.zeros((2, 1, 7, 8), np.float32), "image is 2 x 1 x 7 x 8, expected N x 1 x 8 x 7"),
        (np.zeros((), np.float32), "image is scalar, expected N x 1 x 8 x 7"),
    ],
)
def test_a_wrong_input_is_refused(array: Any, said: str, module: ModuleType) -> None:
    model = load_model(compile_graph(classifier()), random_weights(classifier(), DType.FLOAT32))
    with pytest.raises(Exception, match=said) as caught:
        model(array)
    assert type(caught.value).__name__ == "ModelError"


def test_everything_wrong_with_inputs_is_said_at_once() -> None:
    graph = two_inputs()
    model = load_model(compile_graph(graph), random_weights(graph, DType.FLOAT32))
    x = random_inputs(graph, DType.FLOAT32, 2)["image"]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        model(image=x.astype(np.float64), mask=x[:, :2])
    assert "image holds float64" in str(caught.value)
    assert "mask is 2 x 2 x 6 x 5" in str(caught.value)
    with pytest.raises(Exception, match="image has 2, mask has 1"):
        model(image=x, mask=x[:1])


def whole_numbers() -> Graph:
    """Whole numbers that are indices, and truth values that only move."""
    builder = GraphBuilder("Words")
    words = builder.input("words", TensorType((4,), DType.INT64))
    mask = builder.input("mask", TensorType((2, 3), DType.BOOL))
    (rows,) = builder.node(Embed(5, 3), (words,), name="embed")
    (flat,) = builder.node(Flatten(), (mask,), name="flatten")
    return builder.result("rows", rows).result("flat", flat).finish()


def test_whole_numbers_and_truth_values_are_checked_like_all_inputs() -> None:
    graph = whole_numbers()
    weights = random_weights(graph, DType.FLOAT32)
    model = load_model(compile_graph(graph), weights)
    words, mask = np.array([[0, 4, 2, 0]]), np.array([[[True, False, True], [False, False, True]]])
    rows, flat = model(words, mask)
    assert np.array_equal(rows, weights["embed.weight"][words])
    assert np.array_equal(flat, mask.reshape(1, 6))
    assert flat.dtype == bool
    for given, said in (
        ((words + 1, mask), "words holds indices from 1 to 5, expected 0 to 4"),
        ((words - 1, mask), "words holds indices from -1 to 3, expected 0 to 4"),
        ((words.astype(np.float32), mask), "words holds float32, expected int64"),
        ((words, mask.astype(np.int64)), "mask holds int64, expected bool"),
        ((words[:, :3], mask), "words is 1 x 3, expected N x 4"),
    ):
        with pytest.raises(Exception, match=said) as caught:
            model(*given)
        assert type(caught.value).__name__ == "ModelError"
    assert [len(result) for result in model(words[:0], mask[:0])] == [0, 0]


def test_everything_wrong_with_a_weights_file_is_said_at_once(module: ModuleType, tmp_path: Path) -> None:
    weights = random_weights(classifier(), DType.FLOAT32)
    del weights["fc.bias"]
    weights["conv.weight"] = weights["conv.weight"][:2]
    weights["conv.bias"] = weights["conv.bias"].astype(np.int32)
    weights["head.weight"] = weights["fc.weight"]
    save_file(weights, tmp_path / "bad.safetensors")
    with pytest.raises(module.ModelError) as caught:
        module.load(tmp_path / "bad.safetensors")
    for said in (
        "fc.bias is missing: 5",
        "conv.weight is 2 x 1 x 3 x 3, expected 4 x 1 x 3 x 3",
        "conv.bias holds I32, expected F64, F32, F16 or BF16",
        "head.weight is not a weight of this network",
    ):
        assert said in str(caught.value)


def test_missing_weights_name_the_command_that_makes_them(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(module.ModelError, match=r"no such file.*\n.*netdsl init model\.net --net Classifier"):
        module.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_weights_file_is_refused(module: ModuleType, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(module.ModelError):
        module.load(tmp_path / "bad.safetensors")


def test_bfloat16_is_read_exactly(module: ModuleType, tmp_path: Path) -> None:
    """One tensor in bfloat16 among others, as any tool writes them: the bits are the upper half of a float32's."""
    weights = random_weights(classifier(), DType.FLOAT32)
    bits = weights["fc.weight"].view(np.uint32) & 0xFFFF0000
    rounded = {**weights, "fc.weight": bits.view(np.float32)}
    entries: dict[str, Any] = {}
    data = b""
    for name, array in rounded.items():
        raw = (array.view(np.uint32) >> 16).astype("<u2").tobytes() if name == "fc.weight" else array.tobytes()
        kind = "BF16" if name == "fc.weight" else "F32"
        entries[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (len(data), len(data) + len(raw))}
        data += raw
    head = json.dumps(entries).encode()
    head += b" " * (-len(head) % 8)
    (tmp_path / "half.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data)
    save_file(rounded, tmp_path / "full.safetensors")
    x = image(2)
    expected = module.load(tmp_path / "full.safetensors")(x)
    assert np.array_equal(module.load(tmp_path / "half.safetensors")(x), expected)
    assert not np.array_equal(bits, weights["fc.weight"].view(np.uint32))


def test_weights_of_other_precisions_are_converted(tmp_path: Path) -> None:
    weights = random_weights(classifier(), DType.FLOAT32)
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    model = load_model(compile_graph(classifier(), DType.FLOAT64), halves)
    same = load_model(
        compile_graph(classifier(), DType.FLOAT64), {name: array.astype(np.float64) for name, array in halves.items()}
    )
    x = image().astype(np.float64)
    np.testing.assert_array_equal(model(x), same(x))


def test_a_dtype_that_the_backend_lacks_is_refused() -> None:
    with pytest.raises(NetError) as caught:
        compile_graph(classifier(), DType.BFLOAT16)
    assert [d.code for d in caught.value.diagnostics] == [codes.UNSUPPORTED_DTYPE]


# As a script.


def test_the_script_runs_a_net(folder: Path) -> None:
    np.save(folder / "x.npy", image(3))
    done = run(folder, "model.py", "--weights", "model.safetensors", "--input", "x.npy", "--output", "y.npy")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    model = load_model(compile_graph(classifier()), random_weights(classifier(), DType.FLOAT32))
    np.testing.assert_array_equal(np.load(folder / "y.npy"), model(image(3)))
    done = run(folder, "model.py", "--weights", "model.safetensors", "--input", "image=x.npy")
    assert "scores: 3 x 5" in done.stdout


def test_the_script_takes_several_inputs_and_gives_several_results(folder: Path) -> None:
    for name, array in random_inputs(two_inputs(), DType.FLOAT32, 2).items():
        np.save(folder / f"{name}.npy", array)
    given = ("pair.py", "--weights", "pair.safetensors", "--input", "image=image.npy", "--input", "mask=mask.npy")
    assert run(folder, *given, "--output", "y.npz").returncode == 0
    with np.load(folder / "y.npz") as results:
        assert {name: results[name].shape for name in results} == {"y": (2, 4, 4, 3), "z": (2, 4, 4, 3)}
    done = run(folder, *given, "--output", "y.npy")
    assert done.returncode == 2
    assert done.stderr == "error: --output y.npy: 2 results need a name that ends in .npz\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--weights", "none"), "netdsl init model.net --net Classifier"),
        (("--weights", "model.safetensors"), "no file for image: --input image=FILE"),
        (("--weights", "model.safetensors", "--input", "mask=x.npy"), "the inputs are image"),
        (("--weights", "model.safetensors", "--input", "none.npy"), "none.npy"),
        (("--weights", "model.safetensors", "--input", "model.py"), "error: "),
        (("--weights", "model.py", "--input", "x.npy"), "not a readable safetensors file"),
    ],
)
def test_the_script_says_what_is_wrong_without_a_traceback(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(folder, "model.py", *arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_script_times_and_profiles(folder: Path) -> None:
    done = run(folder, "model.py", "--weights", "model.safetensors", "--bench", "--batch", "2")
    assert done.stdout.startswith("batch 2: ")
    assert "samples/s" in done.stdout
    done = run(folder, "model.py", "--weights", "model.safetensors", "--profile")
    assert "ms in all" in done.stdout
    assert re.search(r"linear\(b, b\.flatten, b\.fc, add_bias, \*w\.fc\)$", done.stdout, re.MULTILINE)
    assert len(done.stdout.splitlines()) == 1 + 6  # five layers, of which a flatten has two statements, and the return


DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8)}
"""Bits of a sample for each colour type that is read: grey, RGB, palette."""


def png_file(
    width: int, height: int, depth: int, colour: int, lines: bytes, palette: bytes = b"", interlaced: int = 0
) -> bytes:
    """A PNG of given lines, each with the byte of its filter (PNG specification, sections 5 and 11)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, interlaced])
    chunks = [chunk(b"IHDR", header), chunk(b"PLTE", palette) if palette else b""]
    chunks += [chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png(pixels: Any, colour: int, method: int, palette: bytes = b"") -> bytes:
    """A PNG of 8 bits a channel whose lines all use one filter (PNG specification, section 9)."""

    height, width, step = pixels.shape
    rows = pixels.reshape(height, -1).astype(int)
    lines = []
    for i, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        up = rows[i - 1] if i else np.zeros_like(row)
        corner = np.concatenate([np.zeros(step, int), up[:-step]])
        estimate = left + up - corner
        near = np.argmin([abs(estimate - left), abs(estimate - up), abs(estimate - corner)], axis=0)
        guess = [0 * row, left, up, (left + up) // 2, np.choose(near, [left, up, corner])][method]
        lines.append(bytes([method]) + ((row - guess) % 256).astype(np.uint8).tobytes())
    return png_file(width, height, 8, colour, b"".join(lines), palette)


def png_of(module: ModuleType, path: Path, shape: tuple[int, ...], data: bytes) -> Any:
    """What the module reads of a picture, as an array of channels x height x width."""
    path.write_bytes(data)
    samples, top = module.read_png(str(path), shape)
    return np.array(samples, np.float32).reshape(*shape[1:], shape[0]).transpose(2, 0, 1) / np.float32(top)


@pytest.mark.parametrize("method", range(5))
def test_a_picture_is_read_whatever_its_filter(module: ModuleType, tmp_path: Path, method: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 7, 3), np.uint8)
    found = png_of(module, tmp_path / "x.png", (3, 8, 7), png(pixels, 2, method))
    np.testing.assert_array_equal(found, pixels.transpose(2, 0, 1) / np.float32(255))
    (tmp_path / "x.png").write_bytes(png(pixels[:, :, :1], 0, method))
    array = module.read_input("image", str(tmp_path / "x.png"))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, pixels[None, None, :, :, 0] / np.float32(255))


def test_a_picture_with_a_palette_is_read(module: ModuleType, tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    places = np.random.default_rng(1).integers(0, 256, (8, 7, 1), np.uint8)
    found = png_of(module, tmp_path / "x.png", (3, 8, 7), png(places, 3, 0, palette.tobytes()))
    np.testing.assert_array_equal(found, palette[places[:, :, 0]].transpose(2, 0, 1) / np.float32(255))


@pytest.mark.parametrize("method", range(5))
@pytest.mark.parametrize(("colour", "depth"), [(c, d) for c, depths in DEPTHS.items() for d in depths])
def test_pictures_are_read_as_netdsl_run_reads_them(
    module: ModuleType, tmp_path: Path, colour: int, depth: int, method: int
) -> None:
    """Any bytes are a picture of any depth and filter."""
    size = -(-7 * (3 if colour == 2 else 1) * depth // 8)
    rows = np.random.default_rng(depth).integers(0, 256, (8, size), np.uint8)
    lines = b"".join(bytes([method]) + row.tobytes() for row in rows)
    data = png_file(7, 8, depth, colour, lines, bytes(range(256)) * 3)
    shape = (1 if colour == 0 else 3, 8, 7)
    np.testing.assert_array_equal(
        png_of(module, tmp_path / "x.png", shape, data), images.read_png(data, "x.png", shape)[0]
    )


def test_what_netdsl_run_refuses_of_pictures_is_refused(module: ModuleType, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 7, 1), np.uint8)
    whole = png(pixels, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    for data, said in (
        (png(np.zeros((8, 8, 1), np.uint8), 0, 0), "1 x 8 x 8, expected 1 x 8 x 7; images are never resized"),
        (png(np.zeros((8, 7, 4), np.uint8), 6, 0), "transparent"),
        (b"GIF89a" + whole, "not a PNG file"),
        (whole[:80], "ends early"),
        (whole[:8], "ends early"),
        (whole.replace(b"IDAT", b"tEXt"), "a checksum is wrong"),
        (png_file(7, 8, 8, 0, lines + b"\0"), "more pixels than its header says"),
        (png_file(7, 8, 8, 0, lines[:-1]), "fewer pixels than its header says"),
        (png_file(7, 8, 8, 0, b"\5" + lines[1:]), "unknown filter 5"),
        (png_file(7, 8, 3, 0, lines), "header makes no sense"),
        (png_file(7, 8, 8, 0, lines, interlaced=1), "interlaced"),
        (png_file(7, 8, 8, 3, lines), "no palette"),
        (png_file(7, 8, 8, 3, lines, b"\0\0\0"), "a colour that its palette lacks"),
    ):
        (tmp_path / "x.png").write_bytes(data)
        shape = (3 if data[25:26] == b"\3" else 1, 8, 7)
        with pytest.raises(module.ModelError, match=said):
            module.read_png(str(tmp_path / "x.png"), shape)
        with pytest.raises(NetError):
            images.read_png(data, "x.png", shape)


def test_a_picture_is_said_to_be_read_as_it_is(folder: Path) -> None:
    (folder / "x.png").write_bytes(png(np.zeros((8, 7, 1), np.uint8), 0, 0))
    done = run(folder, "model.py", "--weights", "model.safetensors", "--input", "x.png")
    assert done.returncode == 0
    assert done.stderr == "x.png: 1 x 8 x 7, read as pixels / 255, exact size, not resized\n"


def test_only_nets_with_pictures_read_pictures() -> None:
    assert "read_png" not in compare(make("attention"), DType.FLOAT32, 1).source
    assert "read_png" in compile_graph(classifier()).source
