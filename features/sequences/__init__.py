"""Stored sequences as padded, masked, labelled batches for training."""
