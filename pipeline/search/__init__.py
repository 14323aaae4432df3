"""Use case of hyper-parameter search: Optuna chooses settings, validation ranks them."""
