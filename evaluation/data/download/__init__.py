"""Files of the field's datasets, fetched from where they are published."""
