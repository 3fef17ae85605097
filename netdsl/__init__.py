"""Neural networks as tables: exact shapes and costs, compiled to Triton or NumPy.

    net = netdsl.load("resnet.net", net="ResNet50", classes=10)
    net.summary()

Importing this imports nothing else; what stands in `netdsl.api` is loaded when first used.
"""

# Type checkers take this name for true; `typing` itself would double the time of the import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from netdsl.api import Network as Network
    from netdsl.api import from_onnx as from_onnx
    from netdsl.api import from_torch as from_torch
    from netdsl.api import load as load
    from netdsl.api import to_torch as to_torch
    from netdsl.diagnostics import NetError as NetError

__version__ = "0.1.0"
__all__ = ["NetError", "Network", "__version__", "from_onnx", "from_torch", "load", "to_torch"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from netdsl import api

        return getattr(api, name)
    raise AttributeError(f"module 'netdsl' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
