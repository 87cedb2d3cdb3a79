"""One tree: from points, or from groups of points."""
