"""mkdocstrings calls this: an `Example:` of a docstring is shown as the session that it is."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Griffe knows the heading of Google's style in the plural only."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
