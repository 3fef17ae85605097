"""The safetensors reader and writer against the format's own package, and against files that lie."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from pace import pace, within

from netdsl import codes
from netdsl.diagnostics import NetError
from netdsl.limits import Limits
from netdsl.tensorfile import read, write

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "flags": np.array([True, False, True]),
    "half": np.linspace(-3, 3, 5).astype(np.float16),
    "wide": np.linspace(0, 1, 3),
    "count": np.array(7, np.int64),
    "bytes": np.arange(5, dtype=np.uint8),
    "nothing": np.zeros((0, 4), np.float32),
    "ein Name mit \u00fc und \u4e00": np.ones((1, 1), np.float32),
}


def file_of(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def tensor(shape: list[object], begin: object, end: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert set(left) == set(right)
    for name, array in left.items():
        assert array.dtype == right[name].dtype
        np.testing.assert_array_equal(array, right[name])


def test_what_it_writes_the_package_reads(tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors", TENSORS)
    assert_same(safetensors.numpy.load_file(tmp_path / "w.safetensors"), TENSORS)


def test_what_the_package_writes_it_reads(tmp_path: Path) -> None:
    safetensors.numpy.save_file(TENSORS, tmp_path / "w.safetensors", metadata={"made": "by hand"})
    assert_same(read(tmp_path / "w.safetensors"), TENSORS)
    assert_same(read((tmp_path / "w.safetensors").read_bytes()), TENSORS)


def test_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a", TENSORS)
    backwards = {name: np.array(TENSORS[name], order="F") for name in reversed(TENSORS)}
    write(tmp_path / "b", backwards)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_lie_aligned(tmp_path: Path) -> None:
    write(tmp_path / "w", TENSORS)
    text = (tmp_path / "w").read_bytes()
    length = int.from_bytes(text[:8], "little")
    assert length % 8 == 0
    for name, entry in json.loads(text[8 : 8 + length]).items():
        assert entry["data_offsets"][0] % TENSORS[name].itemsize == 0


@pytest.mark.torch
def test_bfloat16_becomes_float32_exactly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    values = torch.tensor([0.0, -0.0, 1.0, 3.14159, -1e-30, 3e38, float("inf"), 1e-40]).to(torch.bfloat16)
    save_file({"w": values}, tmp_path / "w")
    result = read(tmp_path / "w")["w"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, values.float().numpy())


def test_real_numbers_are_converted_on_request() -> None:
    result = read(safetensors.numpy.save(TENSORS), np.float64)
    for name, array in TENSORS.items():
        assert result[name].dtype == (np.float64 if array.dtype.kind == "f" else array.dtype)
        np.testing.assert_array_equal(result[name], array)


HONEST = file_of({"w": tensor([2, 2], 0, 16), "b": tensor([2], 16, 24)}, bytes(24))

LIES = {
    "empty": (b"", "has 0 bytes"),
    "shorter_than_its_length": (b"\x10\0\0", "has 3 bytes"),
    "header_cut": (HONEST[:30], "ends early or is not a safetensors file"),
    "body_cut": (HONEST[:-1], "ends early"),
    "body_missing": (HONEST[:-24], "ends early"),
    "longer_than_it_says": (HONEST + b"\0", "bytes that no tensor owns"),
    "header_of_2^63": (b"\0\0\0\0\0\0\0\x80" + HONEST[8:], "ends early or is not a safetensors file"),
    "torch_archive": (b"PK\3\4" + HONEST, "as `torch.save` writes"),
    "not_json": (file_of(b"{'w': 1}"), "not valid JSON"),
    "not_utf8": (file_of(b'{"\xff": 1}'), "not valid JSON"),
    "nan": (file_of(b'{"w": NaN}'), "not valid JSON"),
    "a_list": (file_of([]), "not a JSON object"),
    "deep": (file_of(b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply"),
    "long_number": (file_of(b'{"w": ' + b"9" * 10_000 + b"}"), "not valid JSON"),
    "name_twice": (
        file_of(b'{"w":%s,"w":%s}' % ((json.dumps(tensor([1], 0, 4)).encode(),) * 2), bytes(4)),
        "has `w` twice",
    ),
    "key_twice": (file_of(b'{"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "twice"),
    "metadata_of_numbers": (file_of({"__metadata__": {"epoch": 3}}), "metadata"),
    "metadata_list": (file_of({"__metadata__": []}), "metadata"),
    "entry_is_a_number": (file_of({"w": 3}), "does not have exactly"),
    "no_shape": (file_of({"w": {"dtype": "F32", "data_offsets": [0, 0]}}), "does not have exactly"),
    "more_than_a_tensor": (file_of({"w": tensor([1], 0, 4) | {"strides": [1]}}, bytes(4)), "does not have exactly"),
    "unknown_type": (file_of({"w": tensor([1], 0, 4, "F31")}, bytes(4)), "unknown element type F31"),
    "type_is_a_list": (file_of({"w": tensor([1], 0, 4, ["F32"])}, bytes(4)), "unknown element type"),
    "negative_extent": (file_of({"w": tensor([-1, -1], 0, 4)}, bytes(4)), "whole numbers from 0 up"),
    "half_an_extent": (file_of({"w": tensor([0.5], 0, 2)}, bytes(2)), "whole numbers from 0 up"),
    "true_extent": (file_of({"w": tensor([True], 0, 4)}, bytes(4)), "whole numbers from 0 up"),
    "negative_offset": (file_of({"w": tensor([2], -4, 4)}, bytes(4)), "whole numbers from 0 up"),
    "three_offsets": (file_of({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, bytes(4)), "offsets"),
    "extent_of_2^62": (file_of({"w": tensor([2**62], 0, 4)}, bytes(4)), "beyond every limit"),
    "nothing_times_2^62": (file_of({"w": tensor([0, 2**62], 0, 0)}), "beyond every limit"),
    "wraps_around_64_bits": (file_of({"w": tensor([2**32, 2**32], 0, 0)}), "beyond every limit"),
    "too_many_axes": (file_of({"w": tensor([1] * 9, 0, 4)}, bytes(4)), "beyond every limit"),
    "shape_and_offsets_differ": (file_of({"w": tensor([3], 0, 8)}, bytes(8)), "12 bytes by its shape and 8 by"),
    "backwards": (file_of({"w": tensor([1], 4, 0)}, bytes(4)), "4 bytes by its shape and -4 by"),
    "overlap": (file_of({"v": tensor([2], 0, 8), "w": tensor([2], 4, 12)}, bytes(12)), "overlaps"),
    "the_same_bytes": (file_of({"v": tensor([2], 0, 8), "w": tensor([2], 0, 8)}, bytes(8)), "overlaps"),
    "gap": (file_of({"v": tensor([1], 0, 4), "w": tensor([1], 8, 12)}, bytes(12)), "leaves a gap"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_lie_is_refused(case: str, tmp_path: Path) -> None:
    data, message = LIES[case]
    (tmp_path / "w").write_bytes(data)
    for source in (data, tmp_path / "w"):
        with pytest.raises(NetError) as caught:
            read(source)
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == codes.WEIGHT_FILE
        assert message in diagnostic.message
        assert len(diagnostic.message) < 400


def test_the_honest_twin_of_those_lies_is_read() -> None:
    assert {name: array.shape for name, array in read(HONEST).items()} == {"w": (2, 2), "b": (2,)}


def test_a_name_cannot_command_the_terminal() -> None:
    with pytest.raises(NetError) as caught:
        read(file_of({"\x1b[2J\ud800": 3}))
    assert "\\u001b[2J\\ud800" in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_damage_causes_another_exception(noise: bytes, at: int) -> None:
    damaged = HONEST[:at] + noise + HONEST[at + len(noise) :]
    with suppress(NetError):
        read(damaged)


def test_limits() -> None:
    cases = (
        (Limits(weight_header_bytes=10), codes.WEIGHT_HEADER_TOO_LARGE),
        (Limits(weight_bytes=23), codes.WEIGHTS_TOO_LARGE),
    )
    for limits, code in cases:
        with pytest.raises(NetError) as caught:
            read(HONEST, limits=limits)
        assert [d.code for d in caught.value.diagnostics] == [code]
        assert caught.value.is_limit
    assert len(read(HONEST, limits=Limits(weight_bytes=24))) == 2


WORST = (
    "b'[[' + b'[],' * (SIZE // 3) + b'[]]]'",
    "b'{\"a\":[' + b'{},' * (SIZE // 3) + b'{}]}'",
    "b'{' + b','.join(b'\"%x\":1' % i for i in range(SIZE // 11)) + b'}'",
    "b'{' + b'\"\":1,' * (SIZE // 5) + b'\"\":1}'",
    "b'{\"a\":[' + b'1.5,' * (SIZE // 4) + b'1]}'",
    "b'{\"a\":[' + (b'9' * 4000 + b',') * (SIZE // 4001) + b'1]}'",
    "b'{\"' + b'\\\\u0000' * (SIZE // 6 - 2) + b'\":1}'",
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("header", WORST)
def test_the_largest_hostile_header_takes_2_seconds_and_512_mb_at_most(header: str) -> None:
    """The bound of every input that is refused. A process of its own, so that the memory is that of this alone."""
    program = f"""
import time
from netdsl.limits import DEFAULT_LIMITS
from netdsl.diagnostics import NetError
from netdsl.tensorfile import read
SIZE = DEFAULT_LIMITS.weight_header_bytes - 20
text = {header}
assert len(text) <= DEFAULT_LIMITS.weight_header_bytes, len(text)
data = len(text).to_bytes(8, "little") + text
start = time.process_time()
try:
    read(data)
except NetError as error:
    assert error.diagnostics[0].code == "E0505", error
else:
    raise AssertionError("was read")
seconds = time.process_time() - start
# Not ru_maxrss: that counts what the process was forked from, which may be a test run of gigabytes.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 2 * pace(), seconds
    assert megabytes < 512, megabytes


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / "missing", tmp_path, tmp_path / "no\0name"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        paths += [tmp_path / "pipe", Path("/dev/zero")]
    for path in paths:
        with within(1), pytest.raises(NetError) as caught:
            read(path)
        assert [d.code for d in caught.value.diagnostics] == [codes.CANNOT_READ]


def test_an_existing_file_is_replaced_only_if_told_so(tmp_path: Path) -> None:
    write(tmp_path / "w", {"w": np.zeros(3, np.float32)})
    with pytest.raises(NetError) as caught:
        write(tmp_path / "w", {"w": np.ones(3, np.float32)})
    assert [d.code for d in caught.value.diagnostics] == [codes.WOULD_OVERWRITE]
    np.testing.assert_array_equal(read(tmp_path / "w")["w"], np.zeros(3))
    write(tmp_path / "w", {"w": np.ones(3, np.float32)}, force=True)
    np.testing.assert_array_equal(read(tmp_path / "w")["w"], np.ones(3))
    assert os.listdir(tmp_path) == ["w"]


def test_elements_that_the_format_lacks_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NetError) as caught:
        write(tmp_path / "w", {"z": np.zeros(2, complex), "t": np.array(["a"])})
    assert [d.code for d in caught.value.diagnostics] == [codes.WEIGHT_DTYPE] * 2
    assert os.listdir(tmp_path) == []
