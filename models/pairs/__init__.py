"""Which of two versions of one face is forged: how sure the detail that it lacks makes."""
