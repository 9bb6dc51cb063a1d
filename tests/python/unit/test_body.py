"""What a body must be, before anybody looks at its fields."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest
from llamad.errors import ParameterError, RequestError
from llamad.openai.body import MAX_DEPTH, note_unknown, parse_object


def nested(levels: int, key: bytes = b'{"a":', end: bytes = b"}") -> bytes:
    return b'{"a":' + key * (levels - 1) + b"1" + end * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "the body is empty"),
        (b" \r\n\t", "the body is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":"\xff"}', "not valid UTF-8: byte 0xff at offset 6"),
        (b'{"a":"\xc3(}', "not valid UTF-8: byte 0xc3 at offset 6"),
        (b'{"a":"\xed\xa0\x80"}', "not valid UTF-8"),  # a surrogate, encoded
        ('{"a":1}'.encode("utf-16"), "not valid UTF-8"),
        (b'{"a":NaN}', "NaN is not a JSON value: line 1 column 6"),
        (b'{"a":Infinity}', "Infinity is not a JSON value"),
        (b'{"a":-Infinity}', "Infinity is not a JSON value"),
        (b'{"a":1e400}', "infinity"),
        (b'{"a":' + b"9" * 5000 + b"}", "infinity"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\udc00"}', "surrogate"),
        (b'{"\\ud800":1}', "surrogate"),
        (b'{"a":1} {"a":2}', "after document"),
        (b"{} x", "after document"),
        (b"{}\0", "after document"),
        (b"{", "unexpected end"),
        (b'{"a":1', "unexpected end"),
        (b'{"a":1,}', "trailing comma"),
        (b"{'a':1}", "line 1 column 2"),
        (b'{"a":01}', "leading zero"),
        (b'{"a":"\n"}', "control character"),
        (b'{"a":1 /* b */}', "line 1 column 8"),
        (b"a=1&b=2", "line 1 column 1"),
        (b"[1]", "must be a JSON object, not an array"),
        (b'"text"', "must be a JSON object, not a string"),
        (b"1", "must be a JSON object, not a number"),
        (b"1.5", "must be a JSON object, not a number"),
        (b"true", "must be a JSON object, not true or false"),
        (b"null", "must be a JSON object, not null"),
        (nested(MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels"),
        (nested(MAX_DEPTH + 1, b"[", b"]"), f"more than {MAX_DEPTH} levels"),
        (nested(5000), f"more than {MAX_DEPTH} levels"),
        (b"[" * 100_000, f"more than {MAX_DEPTH} levels"),
        (b'{"a":' * 100_000, f"more than {MAX_DEPTH} levels"),
    ],
)
def test_what_is_no_body_is_told_why(body: bytes, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint) as caught:
        parse_object(body)
    assert len(str(caught.value)) < 200
    assert caught.value.param is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"a":1,"a":2}', "a"),
        (b'{"a":1,"b":3,"a":1}', "a"),
        (b'{"a":1, "\\u0061" :2}', "a"),
        (b'{"":1,"":2}', ""),
        (b'{"m":[{"r":1},{"b":{"x":1,"y":2,"x":3}}]}', "m[1].b.x"),
        (b'{"m":[[{"x":1,"x":2}]]}', "m[0][0].x"),
        # What is under a key that is lost itself is not there to be pointed at.
        (b'{"m":{"x":1,"x":2},"m":{"x":1}}', "m"),
        (b'{"a":"text: with a colon","b":{"c":1,"c":2}}', "b.c"),
        (b'{"t":":","b":1,"b":2}', "b"),
    ],
)
def test_a_key_that_is_given_twice_is_named(body: bytes, path: str) -> None:
    with pytest.raises(ParameterError, match="is given twice") as caught:
        parse_object(body)
    assert caught.value.param == path
    assert f"'{path}'" in str(caught.value)


def test_a_twin_in_a_crowd_is_found() -> None:
    """Also where there are too many objects for the first shortcut, and no colon but those of keys."""
    crowd = [{"role": "user", "content": "Hi"} for _ in range(1000)]
    body = orjson.dumps({"messages": crowd})
    assert parse_object(body)["messages"] == crowd
    twin = body[:-3] + b',"role":"system"}]}'
    with pytest.raises(ParameterError) as caught:
        parse_object(twin)
    assert caught.value.param == "messages[999].role"


def test_many_keys_and_a_twin_take_no_quadratic_time() -> None:
    n = 200_000
    body = b"{" + b",".join(b'"k%d":0' % index for index in range(n)) + b',"k%d":1}' % (n - 1)
    with pytest.raises(ParameterError) as caught:
        parse_object(body)
    assert caught.value.param == f"k{n - 1}"


def test_a_long_key_is_shortened() -> None:
    key = b"k" * 10_000
    with pytest.raises(ParameterError) as caught:
        parse_object(b'{"%b":1,"%b":2}' % (key, key))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]},
        {"text": 'a "quoted": key, and "another": one', "more": ["\\", '":', ": :", '\\":']},
        {"grüße": "\U0001f600 \x7f \u2028", "": ""},
        {"n": [0, -1, 1.5, 1e-300, 2**63, -(2**63), True, None]},
        {"deep": orjson.loads(nested(MAX_DEPTH - 1))},
    ],
)
@pytest.mark.parametrize("option", [0, orjson.OPT_INDENT_2])
def test_what_is_sound_comes_through(value: dict[str, Any], option: int) -> None:
    assert parse_object(orjson.dumps(value, option=option)) == value


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_an_integer_beyond_all_bounds_is_a_number() -> None:
    assert parse_object(b'{"seed":' + b"9" * 300 + b"}") == {"seed": 1e300}


def test_unknown_fields_leave_a_line_for_who_debugs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="llamad.openai.body"):
        note_unknown({"a": 1, "b": 2, "c": 3}, {"b"})
        note_unknown({"b": 2}, {"b"})
    assert [record.getMessage() for record in caplog.records] == ["ignoring unknown fields: ['a', 'c']"]
