"""What a finished study shows: the table, the analysis, and the page."""
