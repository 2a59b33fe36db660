"""Reads the opcodes of a pickle into inert values: no name in it is imported, and nothing in it is called.

Python's own unpickler imports every name and calls whatever a file asks for. This one has a stack and a memo as well,
but a name stays a `Name`, and an object a `Node` with its arguments and state. A `NameTable` says which calls stand for
plain data, such as a tensor or an ordered dictionary. All other calls are noted as refused.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

MAX_OPCODES = 5_000_000
"""Maximum number of opcodes in one pickle. A StyleGAN has about 20,000."""
MAX_NAMES = 2_000
"""Maximum number of different names in one pickle."""


@dataclass(frozen=True)
class Name:
    """The name of a class or function in a pickle, such as ``torch.nn.modules.conv.Conv2d``."""

    path: str


@dataclass(eq=False)
class Node:
    """An object of a class that is not imported: what a pickle says about it."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)

    def set_state(self, state: Any) -> None:
        self.state = state


class NameTable(Protocol):
    """Decides what the names in a pickle stand for."""

    def note_name(self, path: str) -> None:
        """Take notice of a name that the pickle would import."""

    def call(self, path: str, arguments: tuple[Any, ...]) -> Any:
        """Return the value of a call, or an inert node after noting that the call is refused."""

    def create(self, path: str, arguments: tuple[Any, ...]) -> Any:
        """Return the inert counterpart of a new object of a class."""

    def load_persistent(self, identity: Any) -> Any:
        """Return what a persistent id stands for. Raises ValueError where there are none."""


class _Mark:
    pass


_MARK = _Mark()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}


class PickleMachine:
    """Runs one pickle to its end. `run` leaves the stream behind the last opcode."""

    def __init__(self, stream: IO[bytes], table: NameTable) -> None:
        self._stream = stream
        self._table = table
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._names: set[str] = set()

    def run(self) -> Any:
        """Return the value of the pickle. Raises ValueError, or whatever a damaged pickle leads to."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
            if count > MAX_OPCODES:
                raise ValueError("too many opcodes")
            if opcode.name == "STOP":
                return self._pop()
            self._execute(opcode.name, argument)
        raise ValueError("no end")

    def _execute(self, name: str, argument: Any) -> None:
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._stack.append(_MARK)
            case "POP":
                self._stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "DUP":
                self._stack.append(self._stack[-1])
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self._stack.append(_CONSTANTS[name])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[int(argument)] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[int(argument)])
            case "GLOBAL" | "STACK_GLOBAL" | "INST" | "OBJ" | "NEWOBJ" | "NEWOBJ_EX" | "REDUCE" | "BUILD":
                self._execute_on_object(name, argument)
            case "PERSID":
                self._stack.append(self._table.load_persistent(argument))
            case "BINPERSID":
                self._stack.append(self._table.load_persistent(self._pop()))
            case "EXT1" | "EXT2" | "EXT4" | "NEXT_BUFFER" | "READONLY_BUFFER":
                raise ValueError(f"the opcode {name} is not supported")
            case _ if argument is not None:
                self._stack.append(argument)
            case _:
                self._execute_on_container(name)

    def _execute_on_object(self, name: str, argument: Any) -> None:
        match name:
            case "GLOBAL":
                self._push_name(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                attribute, module = self._pop(), self._pop()
                self._push_name(module, attribute)
            case "INST":
                arguments = self._pop_to_mark()
                self._push_name(*argument.split(" ", 1))
                self._stack.append(self._table.call(self._pop_name(), tuple(arguments)))
            case "OBJ":
                first, *rest = self._pop_to_mark()
                self._stack.append(self._table.call(_path_of(first), tuple(rest)))
            case "NEWOBJ":
                arguments = _expect(self._pop(), tuple)
                self._stack.append(self._table.create(self._pop_name(), arguments))
            case "NEWOBJ_EX":
                keywords, arguments = _expect(self._pop(), dict), _expect(self._pop(), tuple)
                self._stack.append(self._table.create(self._pop_name(), (*arguments, *keywords.values())))
            case "REDUCE":
                arguments = _expect(self._pop(), tuple)
                self._stack.append(self._table.call(self._pop_name(), arguments))
            case _:
                state = self._pop()
                target = self._stack[-1]
                if not isinstance(target, dict):  # an OrderedDict has its attributes as state, and they are not needed
                    target.set_state(state)

    def _execute_on_container(self, name: str) -> None:
        match name:
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET" | "EMPTY_TUPLE":
                self._stack.append(_EMPTY[name]())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                values = [self._pop() for _ in range(int(name[-1]))]
                self._stack.append(tuple(reversed(values)))
            case "TUPLE":
                self._stack.append(tuple(self._pop_to_mark()))
            case "LIST":
                self._stack.append(self._pop_to_mark())
            case "DICT":
                self._stack.append(_pair(self._pop_to_mark()))
            case "FROZENSET":
                self._stack.append(frozenset(self._pop_to_mark()))
            case "APPEND" | "APPENDS":
                values = self._pop_to_mark() if name == "APPENDS" else [self._pop()]
                target = self._stack[-1]
                _expect(target.elements if isinstance(target, Node) else target, list).extend(values)
            case "SETITEM" | "SETITEMS":
                values = self._pop_to_mark() if name == "SETITEMS" else [self._stack[-2], self._stack[-1]]
                if name == "SETITEM":
                    del self._stack[-2:]
                target = self._stack[-1]
                _expect(target.items if isinstance(target, Node) else target, dict).update(_pair(values))
            case "ADDITEMS":
                values = self._pop_to_mark()
                _expect(self._stack[-1], set).update(values)
            case _:
                raise ValueError(f"the opcode {name} is not supported")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark in place of a value")
        return value

    def _pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _push_name(self, module: Any, attribute: Any) -> None:
        path = f"{_expect(module, str)}.{_expect(attribute, str)}"
        if path not in self._names:
            if len(self._names) >= MAX_NAMES:
                raise ValueError("too many names")
            self._names.add(path)
            self._table.note_name(path)
        self._stack.append(Name(path))

    def _pop_name(self) -> str:
        return _path_of(self._pop())


def _path_of(value: Any) -> str:
    if not isinstance(value, Name):
        raise ValueError("a call of something that is no name")
    return value.path


def _expect(value: Any, kind: type[Any]) -> Any:
    if type(value) is not kind:
        raise ValueError(f"no {kind.__name__} where one is needed")
    return value


def _pair(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))
