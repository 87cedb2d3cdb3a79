"""Downloads the files of datasets from where they are published."""
