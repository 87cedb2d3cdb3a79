"""From an exported representation to a submission: bundle, checks, package, upload."""
