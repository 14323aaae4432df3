"""Use cases of stage one."""
