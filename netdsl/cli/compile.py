"""`netdsl compile`: a module that runs without netdsl."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from netdsl import backends, codes, driver, files
from netdsl.cli import common
from netdsl.codegen.artifact import edited
from netdsl.diagnostics import Report
from netdsl.ir.text import dump
from netdsl.passes.manager import Stage

NETIR_MARK = "# IR of netdsl, "
"""How the first line of every dump begins."""
IMPORTED = ("numpy", "safetensors", "threadpoolctl", "torch", "triton")
"""What generated modules import beyond Python's own modules."""


def main(arguments: list[str]) -> int:
    """Write the module; say which file, which backend, and what to type next."""
    parser = common.Parser("compile", "Write a module that runs without netdsl.")
    parser.add_file()
    parser.add_argument("--backend", default="numpy", help=" | ".join(backends.BACKENDS) + " (numpy)")
    parser.add_argument("--dtype", default="float32", help="element type to compute in (float32)")
    parser.add_argument("-o", dest="output", metavar="OUT.py", help="where to (./<net>.py); - for standard output")
    parser.add_argument("--dump", metavar="DIR", help="write the IR after every pass into DIR")
    parser.add_argument("--remarks", action="store_true", help="say what nearly was optimised, and why it was not")
    parser.add_argument("--tuned", metavar="FILE", help="what a module has measured with --tune")
    parser.add_argument("--force", action="store_true", help="replace a file that netdsl did not generate")
    options = parser.parse(arguments)
    return common.run(options, lambda report: _compile(options, report))


def _compile(options: argparse.Namespace, report: Report) -> int:
    graph = driver.build(common.request_of(options), report)
    output = options.output or f"{graph.name}.py"
    if output != files.STDIN:
        files.check_apart(output, options.file, *([options.tuned] if options.tuned else []))
        _check_name(output, options.force)
        files.check_free(output, objection=edited, force=options.force)
    weights = f"{os.path.splitext(output)[0] if output != files.STDIN else graph.name}.safetensors"
    stages: list[Stage] = []
    artifact = backends.generate(
        graph, options.backend, options.dtype, common.init_command(options, weights), stages.append, options.tuned
    )
    if options.dump:
        _dump(options.dump, stages, artifact.plan, options.force)
    if options.remarks:
        for remark in artifact.remarks:
            common.say(f"remark: {remark}")
        if not artifact.remarks:
            common.say("no remarks: every rewrite that nearly applied did")
    if output == files.STDIN:
        sys.stdout.write(artifact.source)
        return common.DONE
    files.write(output, artifact.source.encode(), objection=edited, force=options.force)
    common.say(f"wrote {output} (net {graph.name}, backend {options.backend}, {options.dtype})")
    step = "next"
    if not os.path.exists(weights):
        command = common.init_command(options, weights).removeprefix("netdsl")
        common.say(f"next: {common.program('netdsl')}{command}")
        step = "then"
    inputs = " ".join(
        f"--input {value.name}={value.name}.npy" if len(graph.inputs) > 1 else "--input x.npy" for value in graph.inputs
    )
    python = common.program("python")
    common.say(f"{step}: {python} {shlex.quote(output)} --weights {shlex.quote(weights)} {inputs} --output y.npy")
    return common.DONE


def _check_name(output: str, force: bool) -> None:
    """Refuse a module that Python would find in place of one that it, or a generated module, imports."""
    name = os.path.basename(output).removesuffix(".py")
    if name in (*sys.stdlib_module_names, *IMPORTED) and not force:
        message = f"{output} would hide the module `{name}` of that name from every program beside it"
        raise files.refuse(codes.BAD_OPTION, message, f"choose another name: `-o {name}_net.py`")


def _dump(folder: str, stages: list[Stage], plan: str, force: bool) -> None:
    """`00-elaborate.netir`, `01-simplify.netir`, ... and the plan of kernels and buffers."""
    files.make_folder(folder)
    texts = {f"{stage.number:02}-{stage.name}.netir": dump(stage.graph, places=True) for stage in stages}
    if plan:
        texts["plan.txt"] = plan
    for name, text in texts.items():
        data = f"{NETIR_MARK}{name}\n{text}\n".encode()
        files.write(os.path.join(folder, name), data, objection=_dumped, force=force)


def _dumped(content: bytes) -> str | None:
    return None if content.startswith(NETIR_MARK.encode()) else files.foreign(content)
