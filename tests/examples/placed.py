"""Public models of the dense and cheap networks: what they need to be built, and where their order is another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

SHAPES: Mapping[str, tuple[int, ...]] = {
    "DenseNet161": (3, 47, 61),
    "DenseNet169": (3, 47, 61),
    "DenseNet201": (3, 47, 61),
    "DeepLabV3": (3, 49, 57),
    "FCNResNet50": (3, 49, 57),
    "HRNetW18": (3, 64, 96),
    "SwinT": (3, 16, 32),
}
"""HRNet's resolutions meet again only where 32 divides the input; Swin's windows fill its maps."""

SETTINGS: Mapping[str, Mapping[str, Any]] = {"SwinT": {"depths": [2, 2], "width": 64, "window": 2}}
"""What makes a net small beside the extents of its input."""

REGNET = {
    f"regnet.unit.{stage}.cb2.{ours}": f"trunk_output.block{stage + 1}.block{stage + 1}-0.proj.{theirs}"
    for stage in range(4)
    for ours, theirs in (("conv", 0), ("bn", 1))
}
"""The shortcut is registered before what it goes around."""


def repvgg(*depths: int) -> dict[str, str]:
    """The norm of the identity is registered before the convolutions."""
    return {
        f"repvgg.unit3.{stage}.{place}.bn": f"stages.{stage}.{place + 1}.identity"
        for stage, depth in enumerate(depths)
        for place in range(depth - 1)
    }


def swin_merges(count: int) -> dict[str, str]:
    """Swin's matrices between stages are registered before their norms."""
    return {
        f"merge.{stage}.{ours}": f"features.{2 * stage}.{theirs}"
        for stage in range(1, count + 1)
        for ours, theirs in (("layernorm", "norm"), ("conv", "reduction"))
    }


MAPPINGS: Mapping[str, Mapping[str, str]] = {
    "RegNetY400MF": REGNET,
    "RepVGGA0": repvgg(2, 4, 14, 1),
    "RepVGGB0": repvgg(4, 6, 16, 1),
    "SwinT": swin_merges(3),
}


def swin(models: ModuleType) -> Callable[[], Any]:
    """Swin-T of two stages with windows of 2x2: a map of several, and one that is as high as a window."""

    def build() -> Any:
        transformer = models.swin_transformer.SwinTransformer
        return transformer([4, 4], 64, [2, 2], [2, 4], [2, 2])

    return wrapped("torchvision:swin_t", build)


def matrices_as_convolutions(build: Callable[[], Any]) -> Callable[[], Any]:
    """Matrices across channels, in the state dict as the 1x1 convolutions that they are; ConvNeXt's gammas around 1."""

    def built() -> Any:
        model = build()
        model.register_state_dict_post_hook(_four_axes)
        for name, parameter in model.named_parameters():
            if name.endswith("layer_scale"):
                parameter.data.uniform_(0.5, 1.5)
        return model

    return built


def _four_axes(model: Any, tensors: dict[str, Any], prefix: str, metadata: object) -> None:
    if prefix:
        return
    for name, tensor in tensors.items():
        if name.startswith("features.") and name.endswith(".weight") and tensor.ndim == 2:
            tensors[name] = tensor[:, :, None, None]


def without_indices(build: Callable[[], Any]) -> Callable[[], Any]:
    """Swin's tables of which places are how far apart are not kept: they follow from the windows' extents."""

    def built() -> Any:
        model = build()
        for name, index in list(model.named_buffers()):
            owner = model.get_submodule(name.rpartition(".")[0])
            owner.register_buffer("relative_position_index", index, persistent=False)
        return model

    return built


def widths_on_the_cpu(build: Callable[[], Any]) -> Callable[[], Any]:
    """RegNet works its widths out with tensors, so it is made on the CPU and moved to where the others are made."""

    def built() -> Any:
        import torch

        where = torch.get_default_device()
        with torch.device("cpu"):
            model = build()
        return model.to(where)

    return built


def wrapped(equals: str, build: Callable[[], Any]) -> Callable[[], Any]:
    """The function, with what this model needs around it."""
    around = {
        "torchvision:convnext_tiny": matrices_as_convolutions,
        "torchvision:swin_t": lambda build: matrices_as_convolutions(without_indices(build)),
        "torchvision:regnet_y_400mf": widths_on_the_cpu,
    }
    return around[equals](build) if equals in around else build
