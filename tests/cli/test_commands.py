"""Every command: what it writes where, its exit status, and what it leaves alone."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdsl.codegen.numpy.lowerings import LOWERED
from netdsl.demo import png
from netdsl.ops.activation import Relu

Run = Callable[..., Any]

TWO = """block double(width) { conv width k3 p1 -> relu }
net A { input image: 3x8x8; double(4) }
net B { input image: 3x8x8; double(8) }
"""


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# What all commands share.


def test_help_and_version(netdsl: Run) -> None:
    assert netdsl("--help").status == 0
    assert "summary" in netdsl("--help").out
    assert netdsl("--version").out.startswith("netdsl ")
    assert netdsl("summary", "--help").status == 0
    bare = netdsl()
    assert bare.status == 2
    assert bare.out == ""
    assert "usage:" in bare.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sumary", "tiny.net"], "did you mean `summary`?"),
        (["summary", "tiny.net", "--shpae", "image=3x8x8"], "did you mean `--shape`?"),
        (["summary", "tiny.net", "--set", "widht=8"], "did you mean `width`?"),
        (["summary", "tiny.net", "--shape", "imag=3x8x8"], "did you mean `image`?"),
        (["summary", "tiny.net", "--shape", "image=3×8×8"], "is no shape"),
        (["summary", "tiny.net", "--set", "width"], "NAME=VALUE"),
        (["summary", "tiny.net", "--set", "width=8", "--set", "width=9"], "twice"),
        (["summary", "tiny.net", "--set", "width=[[["], "is no value"),
        (["summary", "tiny.net", "--batch", "0"], "--batch"),
        (["summary", "tiny.net", "--dtype", "float23"], "did you mean `float32`?"),
        (["summary", "tiny.net", "--limit", "layer=5"], "did you mean `layers`?"),
        (["summary", "tiny.net", "--limit", "layers=many"], "whole number"),
        (["summary", "tiny.net", "--net", "Tniy"], "did you mean `Tiny`?"),
        (["summary"], "required: FILE"),
        (["compile", "tiny.net", "--backend", "nunpy"], "did you mean `numpy`?"),
        (["explain", "E9999"], "no code"),
        (["ops", "cnov"], "did you mean `conv`?"),
        (["init", "tiny.net", "-o", "w.safetensors", "--seed", "x"], "--seed"),
        (["init", "tiny.net", "-o", "w.safetensors", "--seed", "9" * 19], "no whole number from 0 to 9"),
        (["init", "tiny.net", "-o", "tiny.net", "--force"], "is the input of this command"),
        (["summary", "tiny.net", "--limit", "layers=" + "9" * 500], "no whole number from 0 to 9"),
        (["summary", "tiny.net", "--set", "width=y"], "--set 'width=\"y\"'"),
        (["summary", "tiny.net", "--set", "width=rel"], "did you mean `relu`?"),
        (["summary", "tiny.net", "--set", "width=1/0"], "--set width"),
        (["compile", "tiny.net", "-o", "tiny.net", "--force"], "is the input of this command"),
        (["compile", "tiny.net", "-o", "./tiny.net", "--force"], "is the input of this command"),
        (["compile", "tiny.net", "-o", "json.py"], "hide the module `json`"),
        (["compile", "tiny.net", "-o", "numpy.py"], "hide the module `numpy`"),
        (["run", "tiny.net", "--weights", "w.safetensors"], "no --input for image"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_changes_nothing(
    netdsl: Run, folder: Path, words: list[str], said: str
) -> None:
    before = listing(folder)
    result = netdsl(*words)
    assert result.status == 2
    assert result.out == ""
    assert said in result.err
    assert listing(folder) == before


def test_options_have_a_code_of_their_own(netdsl: Run) -> None:
    assert "error[E0615]" in netdsl("summary", "tiny.net", "--batch", "many").err


def test_several_nets_are_listed(netdsl: Run, folder: Path) -> None:
    (folder / "two.net").write_text(TWO)
    result = netdsl("summary", "two.net")
    assert result.status == 2
    assert "A, B" in result.err
    assert "--net" in result.err
    assert netdsl("summary", "two.net", "--net", "B").status == 0


def test_training_is_chosen_on_the_command_line(netdsl: Run, folder: Path) -> None:
    text = "net T {\n  input x: 4\n  fc 3 as y\n  if training { let aux = y -> relu }\n  output y\n"
    (folder / "t.net").write_text(text + "  if training { output aux }\n}\n")
    assert "output y 3;" in netdsl("summary", "t.net").out
    assert "output y 3, aux 3;" in netdsl("summary", "t.net", "--training").out
    compiled = netdsl("compile", "t.net", "--training")
    assert "netdsl init t.net --training -o T.safetensors" in compiled.err
    assert "netdsl init t.net --training -o T.safetensors" in (folder / "T.py").read_text()
    (folder / "t.net").write_text(text + "  if training { output auxx }\n}\n")
    assert netdsl("check", "t.net").status == 0
    assert netdsl("check", "t.net", "--training").status == 1


def test_a_file_without_nets(netdsl: Run, folder: Path) -> None:
    (folder / "blocks.net").write_text("block double(width) { conv width k3 p1 -> relu }\n")
    assert netdsl("check", "blocks.net").status == 0
    result = netdsl("summary", "blocks.net")
    assert result.status == 1
    assert "E0612" in result.err


def test_standard_input(netdsl: Run, tiny: str) -> None:
    result = netdsl("summary", "-", stdin=tiny.encode())
    assert result.status == 0
    assert "Tiny (<stdin>)" in result.out
    wrong = netdsl("check", "-", stdin=tiny.replace("relu", "rleu").encode())
    assert wrong.status == 1
    assert "<stdin>:3:23" in wrong.err


def test_a_limit_is_status_3_and_can_be_raised(netdsl: Run, folder: Path) -> None:
    (folder / "deep.net").write_text("net Deep {\n  input image: 3x8x8\n  repeat 50 { relu }\n}\n")
    result = netdsl("check", "deep.net", "--limit", "layers=10")
    assert result.status == 3
    assert "E0904" in result.err
    assert netdsl("check", "deep.net", "--limit", "layers=50").status == 0


def test_a_bug_is_status_70_in_one_breath(netdsl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETDSL_TRACEBACK")
    monkeypatch.setattr("netdsl.driver.build", lambda *_: 1 / 0)
    result = netdsl("summary", "tiny.net")
    assert result.status == 70
    assert result.out == ""
    assert "internal error: ZeroDivisionError" in result.err
    assert "report it" in result.err
    assert "Traceback" not in result.err


def test_interrupted(netdsl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("netdsl.driver.build", interrupt)
    result = netdsl("summary", "tiny.net")
    assert (result.status, result.out, result.err) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_leaves_hears_no_complaint(folder: Path) -> None:
    body = "".join(f"  relu as r{i}\n" for i in range(4000))
    (folder / "long.net").write_text(f"net Long {{\n  input image: 3x8x8\n{body}}}\n")
    command = f"{sys.executable} -m netdsl summary long.net | head -1"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, timeout=600)
    assert done.stdout == "Long (long.net)\n"
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


# Messages.


def test_diagnostics_in_every_form(netdsl: Run, folder: Path, tiny: str) -> None:
    (folder / "bad.net").write_text(tiny.replace("relu", "rleu"))
    full = netdsl("summary", "bad.net")
    assert full.status == 1
    assert full.out == ""
    assert " --> bad.net:3:23\n" in full.err
    concise = netdsl("summary", "bad.net", "--diagnostics", "concise")
    assert concise.out == ""
    assert concise.err.startswith("bad.net:3:23: error[E0201]: ")
    assert concise.err.count("\n") == 1
    document = json.loads(netdsl("summary", "bad.net", "--diagnostics", "json").out)
    assert document["diagnostics"][0]["line"] == 3
    assert json.loads(netdsl("summary", "bad.net", "--diagnostics", "sarif").out)["version"] == "2.1.0"
    assert netdsl("summary", "bad.net", "--diagnostics", "github").err.startswith("::error file=bad.net,line=3,")


def test_data_and_documents_never_mix(netdsl: Run, folder: Path) -> None:
    (folder / "odd.net").write_text("net Odd {\n  input image: 1x7x7\n  conv 1 k3 s3\n}\n")
    result = netdsl("summary", "odd.net", "--format", "json", "--diagnostics", "json")
    assert result.status == 0
    assert json.loads(result.out)["net"] == "Odd"
    assert json.loads(result.err)["diagnostics"][0]["severity"] == "warning"
    assert json.loads(netdsl("check", "tiny.net", "--diagnostics", "json").out)["diagnostics"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux")
def test_a_file_name_that_is_no_text(netdsl: Run, folder: Path, tiny: str) -> None:
    name = os.fsdecode(b"caf\xe9.net")
    (folder / name).write_text(tiny.replace("relu", "rleu"))
    for form in ("json", "sarif", "github", "concise", "full"):
        for file in (name, name + ".no"):
            result = netdsl("check", file, "--diagnostics", form)
            assert result.status == 1
            (result.out + result.err).encode()
            assert "caf" in result.out + result.err
            if form in ("json", "sarif"):
                text = json.dumps(json.loads(result.out))
                assert "udce9" not in text.replace("\\\\udce9", "").replace("%5Cudce9", "")
    (folder / name).write_text(tiny)
    document = json.loads(netdsl("summary", name, "--format", "json").out)
    assert document["file"] == "caf\\udce9.net"
    document["layers"][0]["span"]["file"].encode()
    assert netdsl("compile", name).status == 0
    compile((folder / "Tiny.py").read_bytes(), "Tiny.py", "exec")


# check, fmt.


def test_check_says_nothing_where_nothing_is_wrong(netdsl: Run) -> None:
    assert netdsl("check", "tiny.net") == (0, "", "")


def test_check_goes_on_after_a_wrong_file(netdsl: Run, folder: Path, tiny: str) -> None:
    (folder / "bad.net").write_text(tiny.replace("relu", "rleu"))
    (folder / "worse.net").write_text("net {")
    result = netdsl("check", "bad.net", "missing.net", "tiny.net", "worse.net")
    assert result.status == 1
    assert all(name in result.err for name in ("bad.net:3", "missing.net", "worse.net:1"))


def test_check_looks_at_every_net(netdsl: Run, folder: Path) -> None:
    (folder / "two.net").write_text(TWO.replace("double(8)", "double(8, 9)"))
    assert netdsl("check", "two.net").status == 1


def test_fmt(netdsl: Run, folder: Path) -> None:
    ugly = "net Tiny {\n\n\n  input   image: 3x8x8\n     relu   # a comment\n}\n"
    (folder / "ugly.net").write_bytes(b"\xef\xbb\xbf" + ugly.replace("\n", "\r\n").encode())
    os.chmod(folder / "ugly.net", 0o640)
    before = listing(folder)
    check = netdsl("fmt", "ugly.net", "tiny.net", "--check")
    assert check.status == 1
    assert "ugly.net" in check.err
    assert "tiny.net" not in check.err
    diff = netdsl("fmt", "ugly.net", "--diff")
    assert diff.status == 0
    assert "-  input   image: 3x8x8" in diff.out
    assert "+  input image: 3x8x8" in diff.out
    assert listing(folder) == before
    piped = netdsl("fmt", "-", stdin=ugly.encode())
    assert netdsl("fmt", "-", "--check", stdin=ugly.encode()) == (1, "", "would reformat <stdin>\n")
    assert netdsl("fmt", "ugly.net").status == 0
    after = (folder / "ugly.net").read_text()
    assert after == piped.out
    assert "# a comment" in after
    assert "\r" not in after
    assert stat.S_IMODE((folder / "ugly.net").stat().st_mode) == 0o640
    assert netdsl("fmt", "ugly.net", "tiny.net", "--check") == (0, "", "")


def test_fmt_writes_nothing_if_any_file_is_wrong(netdsl: Run, folder: Path) -> None:
    (folder / "ugly.net").write_text("net   Tiny {\n input image: 3x8x8; relu }\n")
    (folder / "wrong.net").write_text("net {")
    before = listing(folder)
    assert netdsl("fmt", "ugly.net", "wrong.net").status == 1
    assert listing(folder) == before


# compile, init, run.


def test_compile_by_default(netdsl: Run, folder: Path) -> None:
    result = netdsl("compile", "tiny.net")
    assert result.status == 0
    assert result.out == ""
    assert (folder / "Tiny.py").read_text().startswith("# Generated by netdsl ")
    assert "Tiny.py" in result.err
    assert "numpy" in result.err
    assert "netdsl init tiny.net -o Tiny.safetensors" in result.err
    assert netdsl("compile", "tiny.net").status == 0, "what netdsl generated may be replaced"
    assert netdsl("compile", "tiny.net", "-o", "-").out == (folder / "Tiny.py").read_text()


@pytest.mark.parametrize("command", [["compile", "tiny.net"], ["init", "tiny.net"]])
def test_nothing_is_overwritten_that_netdsl_did_not_generate(netdsl: Run, folder: Path, command: list[str]) -> None:
    (folder / "mine").write_text("precious")
    result = netdsl(*command, "-o", "mine")
    assert result.status == 2
    assert "E0610" in result.err
    assert "--force" in result.err
    assert (folder / "mine").read_text() == "precious"
    assert netdsl(*command, "-o", "mine", "--force").status == 0
    assert (folder / "mine").read_bytes() != b"precious"
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_a_module_that_was_edited_is_kept(netdsl: Run, folder: Path) -> None:
    assert netdsl("compile", "tiny.net").status == 0
    module = folder / "Tiny.py"
    generated = module.read_text()
    module.write_bytes(generated.replace("\n", "\r\n").encode())
    assert netdsl("compile", "tiny.net").status == 0, "line ends are not an edit"
    mine = generated.replace("Kernels, in the order", "My kernels, in the order")
    assert mine != generated
    for text in (mine, generated + "# more\n", "".join(generated.splitlines(keepends=True)[:-1])):
        module.write_text(text)
        result = netdsl("compile", "tiny.net")
        assert result.status == 2
        assert "edited after netdsl generated it" in result.err
        assert module.read_text() == text
    assert netdsl("compile", "tiny.net", "--force").status == 0
    assert module.read_text() == generated


def test_a_net_named_like_a_module_of_python(netdsl: Run, folder: Path, tiny: str) -> None:
    (folder / "j.net").write_text(tiny.replace("Tiny", "json"))
    result = netdsl("compile", "j.net")
    assert result.status == 2
    assert "-o json_net.py" in result.err
    assert not (folder / "json.py").exists()
    assert netdsl("compile", "j.net", "-o", "json_net.py").status == 0
    assert netdsl("compile", "j.net", "-o", "-").status == 0


def test_an_output_is_no_input(netdsl: Run, folder: Path) -> None:
    assert netdsl("init", "tiny.net", "-o", "w.safetensors").status == 0
    np.save(folder / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    words = ["run", "tiny.net", "--weights", "w.safetensors", "--input", "x.npy", "--force", "--output"]
    before = listing(folder)
    assert "input of this command" in netdsl(*words, "x.npy").err
    assert listing(folder) == before


def test_the_next_command_runs_as_it_stands(netdsl: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an environment that is not active, programs are named by their paths."""
    environment = folder / "my env" / "bin"
    environment.mkdir(parents=True)
    for name in ("python", "netdsl"):
        (environment / name).write_text("#!/bin/sh\n")
        (environment / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(environment / "python3"))
    monkeypatch.setenv("PATH", str(folder))
    outside = netdsl("compile", "tiny.net").err
    assert "next: 'my env/bin/netdsl' init tiny.net -o Tiny.safetensors\n" in outside
    assert "then: 'my env/bin/python' Tiny.py --weights" in outside
    monkeypatch.setenv("PATH", str(environment))
    assert "next: netdsl init" in netdsl("compile", "tiny.net").err
    monkeypatch.setattr(sys, "executable", str(folder / "python3"))
    assert "then: python Tiny.py" in netdsl("compile", "tiny.net").err


def test_remarks_are_never_silent(netdsl: Run, folder: Path) -> None:
    assert "no remarks" in netdsl("compile", "tiny.net", "--remarks").err
    assert "remark" not in netdsl("compile", "tiny.net").err


@pytest.mark.parametrize("command", [["compile", "tiny.net"], ["init", "tiny.net"]])
def test_what_cannot_be_written(netdsl: Run, folder: Path, command: list[str]) -> None:
    before = listing(folder)
    result = netdsl(*command, "-o", "no/such/folder/file")
    assert result.status == 1
    assert "E0602" in result.err
    assert listing(folder) == before
    (folder / "directory").mkdir()
    assert "E0602" in netdsl(*command, "-o", "directory", "--force").err


def test_compile_follows_links(netdsl: Run, folder: Path) -> None:
    (folder / "real.py").write_text("precious")
    (folder / "link.py").symlink_to("real.py")
    assert netdsl("compile", "tiny.net", "-o", "link.py").status == 2
    assert netdsl("compile", "tiny.net", "-o", "link.py", "--force").status == 0
    assert (folder / "link.py").is_symlink()
    assert (folder / "real.py").read_text().startswith("# Generated")


def test_compile_dumps_the_graph_after_every_pass(netdsl: Run, folder: Path) -> None:
    assert netdsl("compile", "tiny.net", "--dump", "dump", "--remarks").status == 0
    names = sorted(os.listdir(folder / "dump"))
    assert names[0] == "00-elaborate.netir"
    assert len(names) > 2
    assert netdsl("compile", "tiny.net", "--dump", "dump").status == 0
    (folder / "dump" / names[1]).write_text("mine")
    assert "E0610" in netdsl("compile", "tiny.net", "--dump", "dump").err


@pytest.mark.parametrize(
    ("name", "help"), [("m.onnx", "`netdsl import m.onnx -o OUT.net`"), ("w.pth", "name the program"), ("w.onnx", None)]
)
def test_models_and_weights_are_no_programs(netdsl: Run, folder: Path, name: str, help: str | None) -> None:
    if help:
        (folder / name).write_bytes(bytes(range(200)))
    found = netdsl("summary", name)
    assert (found.status, found.out) == (1, "")
    assert (f"{help}" in found.err) if help else ("no such file" in found.err)


def test_init_and_run(netdsl: Run, folder: Path) -> None:
    assert netdsl("init", "tiny.net", "-o", "a.safetensors").status == 0
    assert netdsl("init", "tiny.net", "-o", "b.safetensors", "--seed", "1").status == 0
    assert (folder / "a.safetensors").read_bytes() != (folder / "b.safetensors").read_bytes()
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    np.save(folder / "x.npy", x)
    words = ["run", "tiny.net", "--weights", "a.safetensors", "--input", "x.npy"]
    shown = netdsl(*words)
    assert shown.status == 0
    assert "2x10" in shown.out
    assert "sample 1" in shown.out
    assert netdsl(*words, "--output", "y.npy").status == 0
    assert np.load(folder / "y.npy").shape == (2, 10)
    assert netdsl(*words, "--output", "y.npy").status == 2, "an array carries no mark of netdsl"
    assert netdsl(*words, "--output", "y.npz").status == 0
    assert netdsl(*words, "--output", "y.txt").status == 2


def test_run_reads_pictures(netdsl: Run, folder: Path) -> None:
    (folder / "rgb.net").write_text("net Picture {\n  input image: 3x4x6\n  relu\n}\n")
    picture = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    (folder / "x.png").write_bytes(png(picture))
    assert netdsl("init", "rgb.net", "-o", "w.safetensors").status == 0
    result = netdsl("run", "rgb.net", "--weights", "w.safetensors", "--input", "x.png", "--output", "y.npy")
    assert result.status == 0
    assert "divided by 255, not resized" in result.err
    assert np.array_equal(np.load(folder / "y.npy"), (picture / np.float32(255)).transpose(2, 0, 1)[None])
    (folder / "x.png").write_bytes(png(picture[:, :5]))
    assert "E0605" in netdsl("run", "rgb.net", "--weights", "w.safetensors", "--input", "x.png").err


def test_run_bounds_its_memory(netdsl: Run, folder: Path) -> None:
    assert netdsl("init", "tiny.net", "-o", "w.safetensors").status == 0
    np.save(folder / "x.npy", np.zeros((9, 3, 8, 8), np.float32))
    words = ["run", "tiny.net", "--weights", "w.safetensors", "--input", "image=x.npy", "--limit"]
    result = netdsl(*words, "activation_bytes=1000")
    assert result.status == 3
    assert "E0912" in result.err
    assert netdsl(*words, "activation_bytes=100000").status == 0


def test_compile_says_which_operators_a_backend_lacks(
    netdsl: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = LOWERED - {Relu}
    monkeypatch.setattr("netdsl.codegen.numpy.backend.LOWERED", lowered)
    result = netdsl("compile", "tiny.net")
    assert result.status == 1
    assert "error[E0704]" in result.err
    assert "tiny.net:3:23" in result.err
    assert not (folder / "Tiny.py").exists()


def test_compile_refuses_tuned_tiles_that_do_not_fit(netdsl: Run, folder: Path) -> None:
    (folder / "bad.json").write_text("{}")
    result = netdsl("compile", "tiny.net", "--backend", "triton", "--tuned", "bad.json")
    assert (result.status, "error[E0705]" in result.err) == (1, True)
    assert "--tune` writes one" in result.err
    result = netdsl("compile", "tiny.net", "--backend", "torch", "--tuned", "bad.json")
    assert result.status == 2
    assert "error[E0615]: there is nothing to tune in modules of the backend torch" in result.err
    assert "E0601" in netdsl("compile", "tiny.net", "--backend", "triton", "--tuned", "none.json").err
    result = netdsl("compile", "tiny.net", "--backend", "triton", "--tuned", "bad.json", "-o", "bad.json", "--force")
    assert "is the input of this command" in result.err
    assert (folder / "bad.json").read_text() == "{}"
    assert not (folder / "Tiny.py").exists()


def test_run_refuses_arrays_that_are_none(netdsl: Run, folder: Path) -> None:
    assert netdsl("init", "tiny.net", "-o", "w.safetensors").status == 0
    words = ["run", "tiny.net", "--weights", "w.safetensors", "--input"]
    np.save(folder / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (folder / "text.npy").write_text("hello")
    (folder / "short.npy").write_bytes((folder / "pickle.npy").read_bytes()[:20])
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }"
    lie = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n"
    (folder / "lie.npy").write_bytes(lie)
    for name in ("pickle.npy", "text.npy", "short.npy", "lie.npy", "missing.npy", "tiny.net"):
        result = netdsl(*words, name)
        assert (result.status, result.out) == (1, ""), name
        assert "E0601" in result.err, name
    np.save(folder / "small.npy", np.zeros((1, 3, 7, 7), np.float32))
    assert "E0605" in netdsl(*words, "small.npy").err


# ops, explain.


def test_ops(netdsl: Run) -> None:
    listed = netdsl("ops")
    assert listed.status == 0
    assert "conv " in listed.out
    assert "fused" not in listed.out
    page = netdsl("ops", "conv")
    assert page.status == 0
    assert "kernel extents" in page.out
    assert "Conv2d" in page.out


def test_explain(netdsl: Run) -> None:
    assert netdsl("explain", "E0302").out.startswith("# E0302:")
    assert netdsl("explain", "e0302").out.startswith("# E0302:")


NET = "net A {\n  input image: 3x8x8\n  conv 4 k3 -> flatten -> fc 5\n}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("end", [">/dev/full", ">&-"])
def test_an_output_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.net").write_text(NET)
    command = f"exec '{sys.executable}' -m netdsl summary a.net {end}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("netdsl: cannot write the output: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", [".", "./", "", "..", "sub/.."])
def test_a_used_folder_lists_nothing_outside_the_root(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.net").write_text(NET)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.net").write_text(f'use "{path}"\n{NET}')
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "netdsl", "check", "a.net"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "outside" not in done.stderr


def test_an_input_of_a_wrong_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text(NET)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "netdsl", "run", "a.net", "--weights", "w.safetensors", "--input", "foo=x.npy"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no input foo" in done.stderr


def test_an_extent_of_0_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text(NET)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "netdsl", "summary", "a.net", "--shape", "image=3x0x4"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "at least 1" in done.stderr
