"""A graph of netdsl as an ONNX model in standard operators."""
