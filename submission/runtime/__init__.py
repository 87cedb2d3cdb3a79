"""What both trainings use: processes, checkpoints, curves, optimisers, compiled steps."""
