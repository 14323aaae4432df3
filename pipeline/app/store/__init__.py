"""What is kept: the database of cases and runs, and the files that were received."""
