"""Texts that anyone may have written, fit for a terminal, a figure or a message."""


def printable(text: object) -> str:
    """A text on one line whose control codes, escape codes and broken characters are shown, not obeyed."""
    text = str(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def short(text: str, length: int = 200) -> str:
    """A text cut to `length` characters, for a message."""
    return text if len(text) <= length else text[:length] + " ..."


def shown(value: object) -> str:
    """A value as Python writes it, for a message."""
    try:
        return short(repr(value))
    except (ValueError, RecursionError):  # a number of more than 4300 digits, or a list in a list in a list ...
        return f"this {type(value).__name__}"
