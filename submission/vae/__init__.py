"""The VAE on features: its model, losses, schedules and training."""
