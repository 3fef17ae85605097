"""A model of ONNX or PyTorch as a graph and a program of netdsl."""
