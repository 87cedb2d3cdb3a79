"""A search for settings: Ray Tune runs its trials, and Optuna chooses them by an objective."""
