"""Builds and runs the submission's image as AIcrowd's evaluator does."""
