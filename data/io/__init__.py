"""Files and processes: atomic writes, bounded reads, tables, names, signals. No videos."""
