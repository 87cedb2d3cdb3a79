"""Several runs: read from their folders, compared, and ordered by the rule of the challenge."""
