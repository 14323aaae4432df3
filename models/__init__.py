"""The ResNet50 backbone, the LSTM head, their training and their evaluation."""
