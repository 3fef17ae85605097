"""What a wheel holds, and which way the imports go."""

from __future__ import annotations

import ast
import fnmatch
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
PACKAGES: list[str] = SETUPTOOLS["packages"]
FOLDERS: dict[str, str] = SETUPTOOLS["package-dir"]
DATA: dict[str, list[str]] = SETUPTOOLS["package-data"]

LAYERS = (
    ("source", "tensor", "limits", "suggest", "grammars"),
    ("diagnostics",),
    ("codes",),
    ("render", "files", "explain", "extras"),
    ("arguments",),
    ("render_data",),
    ("ops",),
    ("ir",),
    ("analysis", "passes"),
    ("syntax",),
    ("elaborate",),
    ("raising",),
    ("tensorfile", "images"),
    ("arrayfile", "statedict", "checkpoint"),
    ("weights",),
    ("reference",),
    ("codegen",),
    ("onnx",),
    ("backends",),
    ("driver",),
    ("api",),
    ("demo",),
    ("cli",),
)
"""Imports go from a later line to an earlier one, or stay within one name."""

HEAVY = {"numpy", "torch", "triton", "jinja2", "safetensors", "lark", "onnx"}
MAY_IMPORT = {
    "reference": {"numpy"},
    "weights": {"numpy"},
    "statedict": {"numpy"},
    "tensorfile": {"numpy"},
    "arrayfile": {"numpy"},
    "images": {"numpy"},
    "onnx": {"numpy", "onnx"},
    "demo": {"numpy"},
    "codegen": {"jinja2"},
    "syntax.generate": {"lark"},
}
"""Which parts import a library when they are imported themselves; the rest is plain Python."""


def folder_of(package: str) -> Path:
    """Where a package lies in the repository."""
    for name, folder in FOLDERS.items():
        if package == name or package.startswith(f"{name}."):
            return ROOT / folder / package.removeprefix(name).lstrip(".").replace(".", "/")
    return ROOT / package.replace(".", "/")


def tracked(folder: Path) -> list[Path]:
    """The files of one folder that are part of the project."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix not in (".pyc",))


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of netdsl, by its name without the leading `netdsl.`."""
    for package in PACKAGES:
        if package == "netdsl.examples":
            continue
        for path in tracked(folder_of(package)):
            if path.suffix == ".py":
                name = package if path.stem == "__init__" else f"{package}.{path.stem}"
                yield name.removeprefix("netdsl").lstrip("."), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Every import under a node, as the dotted names that it may load."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            if node.module == "netdsl":
                yield from ((node, f"netdsl.{alias.name}") for alias in node.names)
            else:
                yield node, node.module


def at_import(tree: ast.Module) -> Iterator[str]:
    """What a module loads when it is itself imported: nothing in functions, nothing for type checkers only."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (name for _, name in imports(node))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


MODULES = dict(modules())
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def test_every_package_is_listed() -> None:
    found = set()
    for name, folder in {"netdsl": "netdsl", **FOLDERS}.items():
        for path in (ROOT / folder).rglob("*.py"):
            inner = path.parent.relative_to(ROOT / folder)
            if not any((ROOT / folder / part).is_symlink() for part in (inner, *inner.parents)):
                found.add(".".join((name, *inner.parts)))
    found -= {"netdsl.examples.lectures"}  # scripts to read and run in a clone
    assert sorted(found) == sorted(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is(package: str) -> None:
    assert ast.get_docstring(ast.parse((folder_of(package) / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", FOLDERS)
def test_the_links_name_what_the_wheel_holds(name: str) -> None:
    """Type checkers, editors and an uninstalled run find the same packages at the same names."""
    link = ROOT / name.replace(".", "/")
    assert link.is_symlink()
    assert os.readlink(link) == f"../{FOLDERS[name]}"


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in MODULES.items()
        for name in (full.removeprefix("netdsl.") for _, full in imports(tree) if full.startswith("netdsl."))
        if module not in ("", "__main__") and name.split(".")[0] not in ("__version__", module.split(".")[0])
        if RANK[name.split(".")[0]] >= RANK[module.split(".")[0]]
    ]
    assert wrong == []


def test_the_core_is_plain_python() -> None:
    """Parsing, checking, counting and rewriting need neither numpy, torch nor triton; no part imports the last two."""
    wrong = [
        f"{module} imports {name}"
        for module, tree in MODULES.items()
        for name in {full.split(".")[0] for full in at_import(tree)} & HEAVY
        if name not in MAY_IMPORT.get(module, MAY_IMPORT.get(module.split(".")[0], set()))
    ]
    assert wrong == []


def test_a_summary_loads_no_heavy_library() -> None:
    script = (
        "import sys; from netdsl.cli.main import main; "
        f"status = main(['summary', {str(ROOT / 'examples' / 'resnet.net')!r}, '--net', 'ResNet50']); "
        f"sys.exit(status or ', '.join(sorted(set(sys.modules) & {HEAVY!r})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy without what git ignores."""
    pytest.importorskip("build", reason="builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a clone")
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_every_package(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = set()
    for package in PACKAGES:
        for path in tracked(folder_of(package)):
            wanted.add(f"{package.replace('.', '/')}/{path.name}")
        for pattern in DATA.get(package, ()):
            for path in folder_of(package).glob(pattern):
                wanted.add(f"{package.replace('.', '/')}/{path.relative_to(folder_of(package)).as_posix()}")
    assert held == wanted


@pytest.mark.parametrize("package", PACKAGES)
def test_every_data_file_has_a_pattern(package: str) -> None:
    """A new kind of file beside the modules, or in a folder of data, would be missing from the wheel without a word."""
    folder, patterns = folder_of(package), [*DATA.get(package, ()), "*.py"]
    plain = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    data = [path for path in plain if path.name != "__pycache__" and not list(path.glob("*.py"))]
    names = [path.relative_to(folder).as_posix() for place in (folder, *data) for path in tracked(place)]
    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []


@pytest.mark.slow
def test_the_wheel_works_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    command = [sys.executable, "-m", "netdsl", "demo", "-o", str(tmp_path / "demo")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy: " in done.stdout
