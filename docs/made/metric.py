"""The part of a metric's page that is measured."""

from docs.made.figures import kinds_and_changes
from docs.made.tables import scores


def measured(**labels: str) -> str:
    """The table and the figures of a metric.

    Args:
        labels: Title of each score, by its name in `behaviour` with `__` for the point.
    """
    columns = {name.replace("__", "."): label for name, label in labels.items()}
    return (
        f'<div class="kinds" markdown>\n\n{scores(columns)}\n\n</div>\n\n'
        f"{kinds_and_changes(columns)}"
    )
