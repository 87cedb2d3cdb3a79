"""Codes of a dataset: how a representation makes them, the table of them, and their files."""
