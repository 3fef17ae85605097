"""ONNX in and out. Needs the `onnx` extra; nothing else of netdsl does."""
