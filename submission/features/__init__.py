"""From images to the table of features: backbones, aggregation, extraction."""
