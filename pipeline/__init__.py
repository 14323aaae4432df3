"""The command line and the DVC stages: wiring only."""
