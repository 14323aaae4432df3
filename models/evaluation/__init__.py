"""From scores to metrics: intervals, calibration, tests, baselines. No TensorFlow."""
