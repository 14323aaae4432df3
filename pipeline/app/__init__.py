"""`unmask app`: a local page on which videos are dropped and verdicts read.

The server's process imports neither TensorFlow nor OpenVINO, and opens no video: each video is
judged by a process of its own (`worker`), which `supervisor` starts, watches and ends. What people
enter and what was judged is in SQLite (`database`), under a folder that the user names.
"""
