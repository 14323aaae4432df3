"""Files in which other detectors write their scores, read and matched with a manifest's videos."""
