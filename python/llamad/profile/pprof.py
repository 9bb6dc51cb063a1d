"""pprof's profile.proto, written by hand: it is small, and needs no compiler of protocol buffers.

The field numbers are those of https://github.com/google/pprof/blob/main/proto/profile.proto.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from types import CodeType


class PythonFrame(NamedTuple):
    """Where a Python function stands."""

    code: CodeType
    line: int


Stack: TypeAlias = tuple[int, tuple[int, ...], tuple[PythonFrame, ...]]
"""A thread's id, native addresses, and Python frames below them; the innermost first."""

Symbols: TypeAlias = dict[int, tuple[str, str, int | None]]
"""By address: the function's name, its mangled name ("" if not known), and where its mapping starts."""

MappedFile: TypeAlias = tuple[int, int, str, str, bool]
"""Where the mapping ends, its offset in the file, path, build id, and whether all its functions are known."""


class Message:
    """A message of protocol buffers under construction."""

    def __init__(self) -> None:
        self._data = bytearray()

    def number(self, field: int, value: int) -> None:
        """Add an int64 or uint64; zero is what is not there."""
        if value:
            self._data += _varint(field << 3) + _varint(value)

    def blob(self, field: int, value: bytes) -> None:
        """Add a string, a message or packed numbers."""
        self._data += _varint(field << 3 | 2) + _varint(len(value)) + value

    def numbers(self, field: int, values: list[int]) -> None:
        """Add repeated numbers."""
        self.blob(field, b"".join(map(_varint, values)))

    def __bytes__(self) -> bytes:
        return bytes(self._data)


class Profile:
    """A CPU profile; `add` what was seen, then `compressed`.

    Args:
        hz: samples per second of CPU time.
        started_ns: when it began, in nanoseconds since 1970.
        duration_ns: how long it took, in nanoseconds of real time.
        symbols: names of the native addresses.
        mappings: the files that these lie in, by the address where they are mapped; what pprof shows as the
            profiled program comes first.

    Attributes:
        threads: their names, by id.
        comments: for whoever reads the profile.
    """

    def __init__(
        self, hz: int, started_ns: int, duration_ns: int, symbols: Symbols, mappings: dict[int, MappedFile]
    ) -> None:
        self.threads: dict[int, str] = {}
        self.comments: list[str] = []
        self._period_ns = 1_000_000_000 // hz
        self._message = Message()
        self._strings = {"": 0}
        self._functions: dict[tuple[str, str, int], int] = {}
        self._locations: dict[int | PythonFrame, int] = {}
        self._symbols = symbols
        self._mapping_ids: dict[int, int] = {}
        message = self._message
        message.blob(1, self._value_type("samples", "count"))
        message.blob(1, self._value_type("cpu", "nanoseconds"))
        message.number(9, started_ns)
        message.number(10, duration_ns)
        message.blob(11, self._value_type("cpu", "nanoseconds"))
        message.number(12, self._period_ns)
        message.number(14, self._string("cpu"))
        for start, file in mappings.items():
            self._add_mapping(start, file)

    def add(self, stack: Stack, count: int) -> None:
        """Add samples of one stack."""
        thread_id, addresses, python = stack
        locations = [self._native_location(address) for address in addresses]
        locations += [self._python_location(frame) for frame in python]
        sample = Message()
        sample.numbers(1, locations)
        sample.numbers(2, [count, count * self._period_ns])
        for key, text, number in (
            ("thread", self.threads.get(thread_id, ""), 0),
            ("thread_id", "", thread_id),
        ):
            label = Message()
            label.number(1, self._string(key))
            label.number(2, self._string(text))
            label.number(3, number)
            sample.blob(3, bytes(label))
        self._message.blob(2, bytes(sample))

    def compressed(self) -> bytes:
        """Return the file; nothing can be added any more."""
        for comment in self.comments:
            self._message.number(13, self._string(comment))
        for text in self._strings:  # in the order of their indices
            self._message.blob(6, text.encode(errors="replace"))
        return gzip.compress(bytes(self._message), compresslevel=6)

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def _value_type(self, kind: str, unit: str) -> bytes:
        value_type = Message()
        value_type.number(1, self._string(kind))
        value_type.number(2, self._string(unit))
        return bytes(value_type)

    def _add_mapping(self, start: int, file: MappedFile) -> None:
        limit, offset, path, build_id, complete = file
        self._mapping_ids[start] = len(self._mapping_ids) + 1
        mapping = Message()
        for field, value in enumerate((self._mapping_ids[start], start, limit, offset), start=1):
            mapping.number(field, value)
        mapping.number(5, self._string(path))
        mapping.number(6, self._string(build_id))
        mapping.number(7, complete)  # otherwise pprof looks for a file with debugging symbols itself
        self._message.blob(3, bytes(mapping))

    def _native_location(self, address: int) -> int:
        known = self._locations.get(address)
        if known is not None:
            return known
        name, mangled, mapping = self._symbols[address]
        mapping_id = 0 if mapping is None else self._mapping_ids[mapping]
        return self._add_location(address, self._function(name, mangled or name, "", 0), 0, mapping_id)

    def _python_location(self, frame: PythonFrame) -> int:
        known = self._locations.get(frame)
        if known is not None:
            return known
        code = frame.code
        name = code.co_qualname
        if name.startswith("<"):  # "<module>": pprof takes away what is in such brackets
            name = name.strip("<>")
        function = self._function(name, name, code.co_filename, code.co_firstlineno)
        return self._add_location(frame, function, frame.line or 0, 0)

    def _add_location(self, key: int | PythonFrame, function: int, line: int, mapping: int) -> int:
        self._locations[key] = len(self._locations) + 1
        where = Message()
        where.number(1, function)
        where.number(2, line)
        location = Message()
        location.number(1, self._locations[key])
        location.number(2, mapping)
        location.number(3, key if isinstance(key, int) else 0)
        location.blob(4, bytes(where))
        self._message.blob(4, bytes(location))
        return self._locations[key]

    def _function(self, name: str, system_name: str, file: str, line: int) -> int:
        key = (system_name, file, line)
        known = self._functions.get(key)
        if known is not None:
            return known
        self._functions[key] = len(self._functions) + 1
        function = Message()
        function.number(1, self._functions[key])
        function.number(2, self._string(name))
        function.number(3, self._string(system_name))
        function.number(4, self._string(file))
        function.number(5, line)
        self._message.blob(5, bytes(function))
        return self._functions[key]


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
