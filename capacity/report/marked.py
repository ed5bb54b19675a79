"""A text with a model's completions in brackets, right and wrong marked, for a terminal or a page."""

from rich.text import Text

from eval.completion import CompletedText


def marked_text(completed: CompletedText) -> Text:
    """A text with every value as the model completes it."""
    shown, done = Text(), 0
    for value in completed.values:
        shown.append(completed.text[done : value.start])
        shown.append_text(mark(value.said, value.right, value.value))
        done = value.end
    return shown.append(completed.text[done:])


def mark(said: str, right: bool | None, value: str | None = None) -> Text:
    """What the model says in brackets, with its mark, and with the right value where it is wrong."""
    sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}[right]
    correction = f" should be {value}" if value is not None and right is False else ""
    return Text.assemble("[", (f"{said or '(nothing)'} {sign}", style), f"{correction}]")
