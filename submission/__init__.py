"""What a participant owns: backbones, aggregation, VAE, training, export, check and submit."""
