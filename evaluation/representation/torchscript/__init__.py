"""TorchScript: what it may not do, and its form with packed weights."""
