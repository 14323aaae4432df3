"""Stage one on the machines of a Ray cluster."""
