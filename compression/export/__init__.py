"""A trained network as an ONNX file: its graph written node by node, its weights packed."""
