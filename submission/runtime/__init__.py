"""How training runs: processes, checkpoints, curves, optimisers, compiled steps."""
