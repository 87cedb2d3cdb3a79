"""The participant's package: backbones, aggregation, VAE, training, export, check and submit."""
