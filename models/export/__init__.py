"""A bundle as ONNX, written node by node."""
