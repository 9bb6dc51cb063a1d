"""Reads pprof's profiles with Google's own protocol buffers."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Label": {"key": (1, "int64"), "str": (2, "int64"), "num": (3, "int64"), "num_unit": (4, "int64")},
    "Sample": {"location_id": (1, "uint64*"), "value": (2, "int64*"), "label": (3, "Label*")},
    "Mapping": {
        "id": (1, "uint64"),
        "memory_start": (2, "uint64"),
        "memory_limit": (3, "uint64"),
        "file_offset": (4, "uint64"),
        "filename": (5, "int64"),
        "build_id": (6, "int64"),
        "has_functions": (7, "bool"),
    },
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64")},
    "Location": {
        "id": (1, "uint64"),
        "mapping_id": (2, "uint64"),
        "address": (3, "uint64"),
        "line": (4, "Line*"),
    },
    "Function": {
        "id": (1, "uint64"),
        "name": (2, "int64"),
        "system_name": (3, "int64"),
        "filename": (4, "int64"),
        "start_line": (5, "int64"),
    },
    "Profile": {
        "sample_type": (1, "ValueType*"),
        "sample": (2, "Sample*"),
        "mapping": (3, "Mapping*"),
        "location": (4, "Location*"),
        "function": (5, "Function*"),
        "string_table": (6, "string*"),
        "time_nanos": (9, "int64"),
        "duration_nanos": (10, "int64"),
        "period_type": (11, "ValueType"),
        "period": (12, "int64"),
        "comment": (13, "int64*"),
        "default_sample_type": (14, "int64"),
    },
}
"""profile.proto: number and type of each field; * is repeated."""


@dataclass(frozen=True)
class ReadSample:
    """Functions innermost first, values by sample type, labels by name."""

    functions: tuple[str, ...]
    values: tuple[int, ...]
    labels: dict[str, str | int]


@dataclass(frozen=True)
class ReadProfile:
    message: Any
    samples: tuple[ReadSample, ...]

    def text(self, index: int) -> str:
        return str(self.message.string_table[index])

    @property
    def functions(self) -> set[str]:
        return {function for sample in self.samples for function in sample.functions}


def read(data: bytes) -> ReadProfile:
    """Parse a profile.

    Raises:
        AssertionError: something in it refers to what is not there.
    """
    message = _profile_class()()
    message.ParseFromString(gzip.decompress(data))
    strings = message.string_table
    assert strings[0] == ""
    mappings = {mapping.id for mapping in message.mapping}
    functions = {function.id: strings[function.name] for function in message.function}
    locations = {}
    for location in message.location:
        assert location.mapping_id == 0 or location.mapping_id in mappings
        locations[location.id] = [functions[line.function_id] for line in location.line]
    assert not {0} & {*locations, *functions, *mappings}, "ids begin at 1"
    samples = tuple(
        ReadSample(
            tuple(name for one in sample.location_id for name in locations[one]),
            tuple(sample.value),
            {strings[label.key]: label.num or strings[label.str] for label in sample.label},
        )
        for sample in message.sample
    )
    return ReadProfile(message, samples)


def _profile_class() -> Any:
    proto = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="pprof", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = proto.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            repeated, scalar = kind.endswith("*"), kind.rstrip("*")
            field = message.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if scalar in _FIELDS:
                field.type, field.type_name = field.TYPE_MESSAGE, f".pprof.{scalar}"
            else:
                field.type = getattr(field, f"TYPE_{scalar.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pprof.Profile"))
