"""The YAML 1.2 parser in Python, for the few texts that the C parser refuses or misreads.

libyaml implements YAML 1.1: it refuses `{key: what?}` and `{"a":b}`, and reads `{?a: b}` as the key
`a`. ruamel's own parser reads most forms of 1.2, some hundred times slower; this one adds the rest.
"""

from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.events import ScalarEvent
from ruamel.yaml.parser import Parser
from ruamel.yaml.scanner import Scanner, ScannerError
from ruamel.yaml.tokens import DocumentEndToken, ScalarToken

_SPACES: Final = "\0 \t\r\n\x85\u2028\u2029"
_BREAKS: Final = "\r\n\x85\u2028\u2029"
_FLOW_INDICATORS: Final = ",[]{}"
_BEFORE_ADJACENT_VALUE: Final = frozenset({'"', "'", "]", "}"})
_MAX_KEY_LENGTH: Final = 1024


def parse_events(text: str) -> Iterator[Any]:
    """Yield the events of `text`, as the C parser does.

    Raises:
        YAMLError: It is not valid YAML.
        ValueError, OverflowError: An escape names no character.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner, yaml.Parser = _Scanner, _Parser
    for event in yaml.parse(text):
        if isinstance(event, ScalarEvent):
            event.value = _join_surrogates(event)
        yield event


def _join_surrogates(event: ScalarEvent) -> str:
    """Join the escapes of a surrogate pair, as JSON writes characters beyond U+FFFF."""
    value: str = event.value
    try:
        return value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ScannerError(
            "while scanning a quoted scalar",
            event.start_mark,
            "found invalid Unicode character escape code",
            event.start_mark,
        ) from None


class _Parser(Parser):
    def parse_implicit_document_start(self) -> Any:
        """Also take a text that begins with `...`, which ends an empty document."""
        while self.scanner.check_token(DocumentEndToken):
            self.scanner.get_token()
        return super().parse_implicit_document_start()


class _Scanner(Scanner):
    def stale_possible_simple_keys(self) -> None:
        """Let a key of a flow mapping, and its colon, be on different lines."""
        waiting = {
            level: key
            for level, key in self.possible_simple_keys.items()
            if level and self.flow_context[level - 1] == "{" and self._may_wait(key)
        }
        for level in waiting:
            del self.possible_simple_keys[level]
        super().stale_possible_simple_keys()
        self.possible_simple_keys.update(waiting)

    def _may_wait(self, key: Any) -> bool:
        is_short = self.reader.index - key.index <= _MAX_KEY_LENGTH
        return bool(is_short and self.reader.column > self.indent)

    def check_key(self) -> bool:
        """A `?` before other text begins a plain scalar."""
        return not self._begins_plain_scalar()

    def check_value(self) -> bool:
        """A `:` before other text begins a plain scalar, except after a quoted key, `]` or `}`."""
        return not self._begins_plain_scalar() or self._is_after_json_key()

    def check_plain(self) -> bool:
        """`-`, `?` and `:` begin a plain scalar before other text."""
        if self.reader.peek() in "-?:":
            return self._begins_plain_scalar()
        return bool(super().check_plain())

    def _begins_plain_scalar(self) -> bool:
        return self._is_plain_character(1)

    def _is_plain_character(self, at: int) -> bool:
        character = self.reader.peek(at)
        is_indicator = self.flow_level and character in _FLOW_INDICATORS
        return character not in _SPACES and not is_indicator

    def _is_after_json_key(self) -> bool:
        if not self.flow_level or self.flow_level not in self.possible_simple_keys:
            return False
        token = self.tokens[-1]
        return (getattr(token, "style", None) or token.id) in _BEFORE_ADJACENT_VALUE

    def scan_plain(self) -> ScalarToken:
        """Scan a plain scalar, which may have `?`, and `:` before other text, anywhere."""
        chunks: list[str] = []
        spaces: list[str] = []
        start_mark = end_mark = self.reader.get_mark()
        while self.reader.peek() != "#" and (length := self._plain_length()):
            self.allow_simple_key = False
            chunks += [*spaces, self.reader.prefix(length)]
            self.reader.forward(length)
            end_mark = self.reader.get_mark()
            spaces = self.scan_plain_spaces(self.indent + 1, start_mark)
            is_outside = not self.flow_level and self.reader.column <= self.indent
            if not spaces or is_outside:
                break
        return ScalarToken("".join(chunks), plain=True, start_mark=start_mark, end_mark=end_mark)

    def _plain_length(self) -> int:
        length = 0
        while self._is_plain_character(length):
            if self.reader.peek(length) == ":" and not self._is_plain_character(length + 1):
                break
            length += 1
        return length

    def scan_to_next_token(self) -> None:
        """Skip spaces and comments, and tabs where they cannot be mistaken for indentation."""
        while True:
            skipped = " \t" if self.flow_level or not self.allow_simple_key else " "
            while self.reader.peek() in skipped:
                self.reader.forward()
            if self.reader.peek() == "#":
                self._skip_comment()
            if not self.scan_line_break():
                return
            self.allow_simple_key = self.allow_simple_key or not self.flow_level

    def _skip_comment(self) -> None:
        while self.reader.peek() not in "\0" + _BREAKS:
            self.reader.forward()

    def scan_block_scalar_indentation(self) -> Any:
        """Take blank lines of any length before the first line."""
        chunks, indent, end_mark = [], 0, self.reader.get_mark()
        while self.reader.peek() in " " + _BREAKS:
            if self.reader.peek() == " ":
                self.reader.forward()
                indent = max(indent, self.reader.column)
            else:
                chunks.append(self.scan_line_break())
                end_mark = self.reader.get_mark()
        return chunks, indent, end_mark
