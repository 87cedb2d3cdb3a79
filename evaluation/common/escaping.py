"""Names and texts of others, made fit to be shown."""


def visible(text: str) -> str:
    r"""`text` with each character that does not print as its escape: `\x1b`, `\u202e`, `\udcff`.

    Those are what steers a terminal, what turns the order of reading around, what is not to be
    seen, and bytes of a file name that are no text.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
