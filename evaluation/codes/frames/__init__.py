"""Frames without labels' values, each row of which walks one factor: a score on real pictures."""
