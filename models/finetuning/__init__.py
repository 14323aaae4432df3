"""Fine-tuning of the backbone on face crops."""
