"""Templates: format strings that put instruction, input and output together."""

from dataclasses import dataclass
from string import Formatter

from nucleate._core.errors import BadInput

BEFORE = "{instruction}\n{input}\n{output}"
AFTER = "{input}\n{instruction}\n{output}"
_FIELDS = ("instruction", "input", "output")


@dataclass(frozen=True)
class Template:
    """A format string in its pieces.

    Attributes:
        pieces: the prompt's fields in order, each with the text that stands before it.
        closing: the text behind the prompt's last field, without the white space at its end.
        lead: that white space: it opens the answer, for byte pairs join it to the next word.
        tail: the text behind the output; None if the template has no output.
    """

    pieces: tuple[tuple[str, str], ...]
    closing: str
    lead: str
    tail: str | None

    @classmethod
    def parse(cls, template: str) -> "Template":
        """Take a format string apart; BadInput names what is wrong with it."""
        if not isinstance(template, str):
            raise BadInput(f"template is {template!r}: give a format string, or 'chat'.")
        try:
            parsed = list(Formatter().parse(template))
        except ValueError as error:
            raise BadInput(
                f"template {template!r} is not a format string ({error}): write a brace "
                "that is to stay twice."
            ) from error
        pieces: list[tuple[str, str]] = []
        after = ""
        for literal, field, _, _ in parsed:
            after += literal
            if field is not None:
                pieces.append((after, field))
                after = ""
        fields = [field for _, field in pieces]
        plain = all(not spec and not conversion for _, _, spec, conversion in parsed)
        if not plain or any(field not in _FIELDS or fields.count(field) > 1 for field in fields):
            raise BadInput(
                f"template {template!r} has other fields than {{instruction}}, {{input}} and "
                "{output}, once each: use these only."
            )
        if "instruction" not in fields or "output" in fields[:-1]:
            raise BadInput(
                f"template {template!r} needs {{instruction}}, and {{output}} behind all else if "
                "it has one: write it like '{instruction}\\n{input}\\n{output}'."
            )
        tail = None
        if fields[-1] == "output":
            tail, after = after, pieces.pop()[0]
        closing = after.rstrip()
        return cls(tuple(pieces), closing, after[len(closing) :], tail)

    @property
    def takes_input(self) -> bool:
        """Whether the template has a place for an input."""
        return any(field == "input" for _, field in self.pieces)

    def prompt(self, instruction: str, input: str) -> tuple[str, int]:
        """Return the prompt's text and where in it the instruction begins.

        An empty part is left out with the text before it. White space at the end goes.
        """
        values = {"instruction": instruction, "input": input}
        text, start = "", 0
        for literal, field in self.pieces:
            if values[field]:
                literal = literal if text or field == self.pieces[0][1] else literal.lstrip()
                start = len(text) + len(literal) if field == "instruction" else start
                text += literal + values[field]
        return (text + self.closing).rstrip(), start

    def answer(self, output: str) -> str:
        """Return the answer's text: what follows the prompt's text."""
        return "" if self.tail is None else self.lead + output + self.tail


def check_template(template: str | None) -> None:
    """Refuse what is not a template, without a tokenizer; None and `chat` always pass.

    Raises:
        BadInput: it is not a format string of `{instruction}`, `{input}` and `{output}`.
    """
    if template not in (None, "chat"):
        Template.parse(template)
