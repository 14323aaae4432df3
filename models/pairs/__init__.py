"""Which of two versions of one face is forged: a model of their differences."""
