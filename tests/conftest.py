"""Options of the whole suite, and torchvision's models, with whichever PyTorch is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)
"""What torchvision's import expects its compiled library to declare."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the sections of tests/cases that no longer hold"
    )


def pytest_configure() -> None:
    """Hypothesis does not look at the clock: what other processes take from a test is not its fault."""
    with suppress(ImportError):
        from hypothesis import HealthCheck, settings

        settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("patient")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that what processes share at the end is short."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """PyTorch draws the same numbers in a test whatever ran before it."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def models() -> Iterator[ModuleType]:
    """`torchvision.models`. Its classifiers are plain PyTorch, but its compiled library fits one build of PyTorch only;
    where that does not load, its operators are declared here, so that the import goes through."""
    torch = pytest.importorskip("torch", reason="the models are built with PyTorch")
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        pytest.skip("the models are torchvision's")
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        torch.ops.load_library(Path(spec.origin).with_name("_C.so"))
    except OSError:
        for operator in OPERATORS:
            library.define(operator)
    import torchvision.models

    yield torchvision.models
    del library  # what it declares lives as long as it does
