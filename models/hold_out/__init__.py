"""Who is held out: folds of people and forgery methods, and what detectors say about them."""
