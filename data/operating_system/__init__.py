"""What Linux has and macOS or Windows lacks, each with what is done there instead.

The only package that asks which system this is. A call is looked up when it is needed, so that a
test can take it away.
"""
