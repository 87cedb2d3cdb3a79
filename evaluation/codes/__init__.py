"""The codes of a dataset's images: encoding them, the table of codes, and files of codes."""
