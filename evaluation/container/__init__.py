"""The submission's image, built and run as AIcrowd's evaluator would."""
