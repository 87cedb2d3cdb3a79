"""The metrics on codes and factors that are given as arrays, rows of any number and order."""
