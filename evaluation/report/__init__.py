"""Scores as people read them: on a terminal, and as a page."""
