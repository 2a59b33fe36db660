"""JSON files that people may edit: what is wrong in one costs a single value, and is named with its line.

Byte order marks, comments, trailing and missing commas are accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import msgspec

from studio.core.errors import CannotWrite
from studio.core.files import write_bytes_atomically
from studio.core.untrusted_files import make_printable, make_valid, name_for_display, open_file, read_file

MAX_BYTES = 4 * 2**20
MAX_COPIES = 5
"""Number of copies of broken files that are kept; the oldest are removed."""
_MAX_BROKEN = 50
"""Number of broken members after which the rest of a file is not read."""
_MAX_SHOWN = 40

S = TypeVar("S", bound=msgspec.Struct)

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_STRING_OR_REST = r'"(?:[^"\\\n]|\\.)*\\?(?:"|(?=\n)|\Z)'
"""A string, or the rest of a line that begins as one. It always matches at a quote, which keeps a search linear."""
_COMMENT = re.compile(rf"({_STRING_OR_REST})|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING_OR_REST})|,(?=\s*[\]}}])")
_KEY = re.compile(rf"({_STRING})\s*:\s*")
_SEPARATOR = re.compile(r"[,\s]+")
_SPACE = re.compile(r"[\s,]*")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class EditedJson:
    """The members of a JSON object, the line of each, and sentences about what cannot be read."""

    members: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    """Lines of members whose values cannot be read."""
    problems: tuple[str, ...] = ()
    is_strict: bool = True
    """True if another program reads the file as it is, so that writing it again loses nothing."""


@dataclass(frozen=True)
class Decoded:
    """Values of the fields of a struct, the members that it does not have, and sentences about wrong values."""

    values: dict[str, Any] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read(path: Path) -> EditedJson:
    """Read a file. One that is missing has no members; one that cannot be read has a problem."""
    try:
        return parse(read_file(path, MAX_BYTES), name_for_display(path))
    except FileNotFoundError:
        return EditedJson()
    except OSError as error:
        name = name_for_display(path)
        return EditedJson(problems=(f"{name} cannot be read: {error.strerror or error}.",), is_strict=False)


def parse(content: bytes, name: str) -> EditedJson:
    """Parse the content of a file whose `name` is used in sentences."""
    text = _decode(content)
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and text.encode("utf-8", "surrogatepass") == content:
        return _Parser(name, text).parse()
    return replace(_Parser(name, _remove_comments(text)).parse(), is_strict=False)


def decode_struct(type: type[S], found: EditedJson, name: str) -> Decoded:
    """Convert members to the fields of a struct. A wrong value is left out and named; of a list, a wrong item."""
    fields = {one.encode_name: one for one in msgspec.structs.fields(type)}
    decoded = Decoded(problems=found.problems)
    problems = [f"{name}, line {line}: the value of {key} cannot be read, so {_describe_default(fields.get(key))}."
                for key, line in found.broken.items()]  # fmt: skip
    for key, value in found.members.items():
        known = fields.get(key)
        if known is None:
            decoded.unknown[key] = value
            continue
        try:
            decoded.values[known.name] = msgspec.convert(value, known.type, strict=True)
        except (msgspec.ValidationError, ValueError, RecursionError):
            kept = convert_items(value, known.type)
            rest = "that item is left out" if kept is not None else _describe_default(known)
            problems.append(
                f"{name}, line {found.lines[key]}: {key} must be {_describe_type(known.type)}, "
                f"not {_shorten(value, known.type)}, so {rest}."
            )
            if kept is not None:
                decoded.values[known.name] = kept
    return replace(decoded, problems=(*found.problems, *problems))


def loads(content: bytes) -> Any:
    """Parse JSON of any kind. Raises ValueError or RecursionError."""
    return _DECODER.decode(_remove_comments(_decode(content)).strip())


def load_struct(type: type[S], path: Path) -> S:
    """Load a struct, all of whose fields have defaults. Problems are not reported."""
    return type(**decode_struct(type, read(path), path.name).values)


def write(path: Path, members: Mapping[str, Any], *, keep_copy: bool) -> None:
    """Write a file. With `keep_copy`, what it holds now is kept beside it. Raises CannotWrite."""
    if keep_copy:
        _keep_copy(path)
    try:
        content = _encode(members, is_ascii=False)
    except UnicodeEncodeError:
        content = _encode(members, is_ascii=True)
    write_bytes_atomically(path, content)


def _encode(members: Mapping[str, Any], *, is_ascii: bool) -> bytes:
    """Encode an object with a line for each member. More indentation would make deep values of others very long."""
    lines = (f"  {json.dumps(key, ensure_ascii=is_ascii)}: {json.dumps(value, ensure_ascii=is_ascii)}"
             for key, value in members.items())  # fmt: skip
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode() if members else b"{}\n"


def _keep_copy(path: Path) -> None:
    """Copy a file to `NAME.broken-DATE`, unless the newest copy is the same."""
    try:
        with open_file(path) as file:
            content = file.read()
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or error
        raise CannotWrite(f"{path.name} is not replaced, because it cannot be read: {reason}.") from error
    copies = sorted(path.parent.glob(f"{path.name}.broken-*"))
    if copies and copies[-1].stat().st_size == len(content) and copies[-1].read_bytes() == content:
        return
    write_bytes_atomically(path.with_name(f"{path.name}.broken-{datetime.now():%Y%m%d-%H%M%S-%f}"), content)
    for old in copies[: 1 - MAX_COPIES]:
        old.unlink(missing_ok=True)


class _Parser:
    """Reads the members of the outermost object one by one; after a broken one it goes on at the next key."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._found = EditedJson()
        self._at = self._rejected = 0
        self._line, self._counted = 1, 0

    def parse(self) -> EditedJson:
        self._skip_space()
        if self._at == len(self._text):
            return self._end(f"{self._name} is empty, so the defaults are used.")
        if self._text[self._at] != "{":
            return self._end(f"{self._name} does not hold an object in braces, so the defaults are used.")
        self._at += 1
        last = ""
        while not self._is_at_end():
            key = self._read_key()
            if key is None:
                self._reject(last)
            elif not self._read_value(key):
                self._reject(key)
            last = key or last
        if self._at >= len(self._text):
            return self._end(f"{self._name} ends early: its closing brace is missing.")
        return self._found

    def _is_at_end(self) -> bool:
        self._skip_space()
        return self._at >= len(self._text) or self._text[self._at] == "}"

    def _read_key(self) -> str | None:
        match = _KEY.match(self._text, self._at)
        if match is None:
            return None
        try:
            key = str(json.loads(match[1], strict=False))
        except ValueError:
            return None
        self._found.lines[key] = self._line_of(self._at)
        self._at = match.end()
        return key

    def _read_value(self, key: str) -> bool:
        try:
            value, at = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return False
        end = _SPACE.match(self._text, at)
        after = self._text[end.end() : end.end() + 1] if end else ""
        if after not in ("", "}", '"'):
            return False
        self._at = at
        self._found.members[key] = value
        self._found.broken.pop(key, None)
        return True

    def _reject(self, key: str) -> None:
        """Note that a member is broken, and go on at the next key."""
        if key:
            self._found.members.pop(key, None)
            self._found.broken[key] = self._found.lines[key]
        else:
            sentence = f"{self._name}, line {self._line_of(self._at)}: a name in quotes and a colon are expected."
            self._found = replace(self._found, problems=(*self._found.problems, sentence))
        self._rejected += 1
        key_at = self._find_next_key() if self._rejected <= _MAX_BROKEN else None
        end = self._text.rfind("}", self._at)
        self._at = key_at if key_at is not None else end if end >= 0 else len(self._text)

    def _find_next_key(self) -> int | None:
        """Return where the next key after a comma or a line break begins."""
        for separator in _SEPARATOR.finditer(self._text, self._at):
            if re.search(r"[,\n]", separator[0]) and _KEY.match(self._text, separator.end()):
                return separator.end()
        return None

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _line_of(self, at: int) -> int:
        self._line += self._text.count("\n", self._counted, at)
        self._counted = max(self._counted, at)
        return self._line

    def _end(self, sentence: str) -> EditedJson:
        return replace(self._found, problems=(*self._found.problems, sentence), is_strict=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


def _decode(content: bytes) -> str:
    """Decode UTF-8, UTF-16 with a byte order mark, or the code page of Windows in western Europe."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _remove_comments(text: str) -> str:
    """Replace comments and trailing commas by spaces, so that lines keep their numbers."""
    without = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    return _TRAILING_COMMA.sub(lambda match: match[1] or " ", without)


def convert_items(value: object, type: Any) -> Any:
    """Convert the items of a list, or the values of an object, that have the right type; None if this is neither."""
    arguments = get_args(type)
    if get_origin(type) is dict and isinstance(value, dict):
        return {key: kept for key, item in value.items() if (kept := _convert(item, arguments[1])) is not None}
    if get_origin(type) in (list, tuple) and isinstance(value, list):
        items = (kept for item in value if (kept := _convert(item, arguments[0])) is not None)
        return list(items) if get_origin(type) is list else tuple(items)
    return None


def _convert(value: object, type: Any) -> Any:
    try:
        return msgspec.convert(value, type)
    except (msgspec.ValidationError, ValueError, RecursionError):
        return None


def _describe_type(type: object) -> str:
    match msgspec.inspect.type_info(type):
        case msgspec.inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case msgspec.inspect.FloatType(ge=low, le=high) | msgspec.inspect.IntType(ge=low, le=high):
            return "a number" if low is None or high is None else f"a number from {low:g} to {high:g}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.StrType():
            return "a text in quotes"
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return "a list of texts in quotes"
        case _:
            return "an object in braces"


def _describe_default(known: msgspec.structs.FieldInfo | None) -> str:
    if known is None:
        return "it is left out"
    default = known.default
    if isinstance(default, str | int | float) and default != "":
        return f"{default} is used"
    return "its default is used"


def _shorten(value: object, type: object) -> str:
    """Return a wrong value, or the wrong item of a list, as JSON that fits into a sentence."""
    if isinstance(value, list) and (kept := convert_items(value, type)) is not None:
        value = next((item for item in value if item not in kept), value)
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = make_printable(make_valid(json.dumps(value, ensure_ascii=False)))
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
