"""`netdsl COMMAND ...`: finds the command, loads only its file, turns what went wrong into text and an exit status."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import TextIO

COMMANDS = {
    "check": "errors and warnings, nothing else",
    "summary": "shapes, parameters, multiply-accumulates, memory and receptive fields, layer by layer",
    "compile": "write a module that runs without netdsl",
    "run": "compute outputs with the reference interpreter",
    "export": "write an ONNX model",
    "import": "write a model of another library as a program and its weights",
    "init": "write freshly initialised weights",
    "fmt": "rewrite files in the one layout",
    "ops": "the operator reference",
    "explain": "the page of an error code",
    "demo": "read handwritten digits through a freshly compiled network",
}
"""Every command and what it does; the module of each is `netdsl.cli.<name>`."""

DONE, WRONG_INPUT, WRONG_COMMAND, LIMIT_MET, OUR_BUG = 0, 1, 2, 3, 70
INTERRUPTED, READER_GONE = 130, 141


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    # A stream that the caller closed is None.
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    if sys.stdout is None:
        sys.stderr.write("netdsl: cannot write the output: standard output is closed\n")
        return WRONG_INPUT
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Whatever the terminal's encoding, a name that it lacks is escaped and never a crash.
            stream.reconfigure(errors="backslashreplace")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        (sys.stdout if arguments else sys.stderr).write(_help())
        return DONE if arguments else WRONG_COMMAND
    if arguments[0] in ("-V", "--version"):
        from netdsl import __version__

        sys.stdout.write(f"netdsl {__version__}\n")
        return DONE
    # A compiler makes many objects and hardly a cycle among them: looking for cycles less often saves a quarter.
    gc.set_threshold(1_000_000)
    return _guarded(arguments[0], arguments[1:])


def _guarded(name: str, arguments: list[str]) -> int:
    try:
        if name not in COMMANDS:
            return _unknown(name)
        status: int = import_module(f"netdsl.cli.{name}").main(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has seen enough. Python would complain again when it flushes at exit.
        _discard(sys.stdout)
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # Files are read and written elsewhere, with messages of their own; here only a stream can have failed.
        sys.stderr.write(f"netdsl: cannot write the output: {error.strerror or error}\n")
        _discard(sys.stdout)
        return WRONG_INPUT
    except MemoryError:
        sys.stderr.write("netdsl: out of memory\n")
        return LIMIT_MET
    except Exception as error:
        if os.environ.get("NETDSL_TRACEBACK"):
            raise
        sys.stderr.write(
            f"netdsl: internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n"
            "This is a bug in netdsl, not in your input. Please report it, with the input and this command line;\n"
            "NETDSL_TRACEBACK=1 shows where it happened.\n"
        )
        return OUR_BUG


def _discard(stream: TextIO) -> None:
    """What is left in the stream goes nowhere: Python would complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unknown(name: str) -> int:
    from netdsl.render import printable
    from netdsl.suggest import nearest

    near = nearest(name, COMMANDS)
    sys.stderr.write(f"netdsl: unknown command {printable(name[:100])}{f'; did you mean `{near}`?' if near else ''}\n")
    sys.stderr.write(_help())
    return WRONG_COMMAND


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "".join(f"  {name.ljust(width)}  {text}\n" for name, text in COMMANDS.items())
    return f"usage: netdsl COMMAND ...\n\n{listed}\n`netdsl COMMAND --help` says more of each.\n"
