"""Which of two versions of one face is forged: the likelihood ratio of the detail it lacks."""
