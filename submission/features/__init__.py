"""Turns images into a table of features: backbones, aggregation, extraction."""
