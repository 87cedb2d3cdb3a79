"""Turns an exported representation into a submission: bundle, checks, package, upload."""
