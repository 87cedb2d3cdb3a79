"""Makes names and texts from untrusted sources safe to print."""


def visible(text: str) -> str:
    r"""Returns `text` with an escape such as `\x1b` in place of each unprintable character.

    Unprintable are characters that control the terminal (`\x1b`), characters that reverse the
    reading direction (`\u202e`), invisible characters, and undecodable bytes of a file name
    (`\udcff`).
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def visible_lines(text: str) -> str:
    """`visible` for a text of several lines: their ends stay, and tabs become two spaces."""
    return "\n".join(visible(line.replace("\t", "  ")) for line in text.split("\n"))
