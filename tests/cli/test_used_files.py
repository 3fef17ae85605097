"""Programs of several files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import netdsl
from netdsl.driver import STANDARD_LIBRARY

NET = "net A {\n  input image: 3x8x8\n  unit(4)\n}\n"
UNIT = "block unit(width) { conv width k3 p1 -> relu }\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root file lies in `nets`; the current folder is the one above it."""
    (tmp_path / "nets" / "parts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "nets"


def test_paths_start_at_the_folder_of_the_root_file(folder: Path) -> None:
    (folder / "a.net").write_text('use "parts/outer.net"\n' + NET)
    (folder / "parts" / "outer.net").write_text('use "parts/inner.net"\nblock unit(width) { half(width) }\n')
    (folder / "parts" / "inner.net").write_text(UNIT.replace("unit", "half"))
    rows = netdsl.load("nets/a.net").summary().to_dict()["layers"]
    assert [row["name"] for row in rows] == ["unit.half.conv", "unit.half.relu"]
    assert rows[0]["span"] == {"file": os.path.join("nets", "parts", "inner.net"), "line": 1, "column": 21}


def test_mistakes_of_all_files_come_together(folder: Path) -> None:
    (folder / "a.net").write_text('use "b.net"\nuse "c.net"\nuse "d.net"\n' + NET)
    (folder / "b.net").write_text("block unit(width {\n")
    (folder / "d.net").write_bytes(b"caf\xe9")
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.load("nets/a.net", net="A")
    names = [d.primary.span.source.name for d in caught.value.diagnostics if d.primary]
    assert names == [os.path.join("nets", name) for name in ("a.net", "b.net", "d.net")]


def test_a_missing_file_has_neighbours(folder: Path) -> None:
    (folder / "parts" / "blocks.net").write_text(UNIT)
    for path, help in (
        ("parts/block.net", 'did you mean `use "parts/blocks.net"`?'),
        ("parts/x.net", "parts/blocks.net"),
    ):
        (folder / "a.net").write_text(f'use "{path}"\n' + NET)
        with pytest.raises(netdsl.NetError) as caught:
            netdsl.load("nets/a.net")
        assert help in (caught.value.diagnostics[0].help or "")


def test_a_file_that_is_too_large_names_its_use(folder: Path) -> None:
    (folder / "a.net").write_text('use "b.net"\n' + NET)
    (folder / "b.net").write_text(UNIT + "#" * 2**18)
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.load("nets/a.net")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0901"
    assert diagnostic.primary
    assert diagnostic.primary.span.text == '"b.net"'


def test_the_standard_library(folder: Path) -> None:
    names = sorted(name for name in os.listdir(STANDARD_LIBRARY) if name.endswith(".net"))
    assert names
    for name in names:
        (folder / "a.net").write_text(f'use "std/{name}"\nnet A {{\n  input image: 3x8x8\n  relu\n}}\n')
        assert netdsl.load("nets/a.net").warnings == ()


def test_links_inside_the_folder_are_followed(folder: Path) -> None:
    (folder / "parts" / "real.net").write_text(UNIT)
    (folder / "link.net").symlink_to("parts/real.net")
    (folder / "a.net").write_text('use "link.net"\n' + NET)
    assert len(netdsl.load("nets/a.net").graph.nodes) == 2


def test_a_folder_whose_name_begins_alike_is_outside(folder: Path) -> None:
    (folder.parent / "netsecret").mkdir()
    (folder.parent / "netsecret" / "b.net").write_text(UNIT)
    (folder / "a.net").write_text('use "../netsecret/b.net"\n' + NET)
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.load("nets/a.net")
    assert caught.value.diagnostics[0].code == "E0617"
