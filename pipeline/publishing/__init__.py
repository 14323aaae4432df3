"""A bundle for others: as ONNX, and as a repository of the Hugging Face Hub."""
