from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.errors import IncompleteBody, InvalidInput, TooLarge
from reelstore.web.forms import UploadForm
from reelstore.web.limits import FORM_FIELDS_BYTES_MAX, FORM_FIELDS_MAX, FORM_PART_HEADERS_MAX

TYPE = "multipart/form-data; boundary=b0undary"
END = b"\r\n--b0undary--\r\n"


def field(name: str, value: bytes) -> bytes:
    return f'\r\n--b0undary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


def file(content: bytes, *, name: str = "file", filename: str = "a.mp4", kind: str = "video/mp4") -> bytes:
    head = f'\r\n--b0undary\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    return f"{head}Content-Type: {kind}\r\n\r\n".encode() + content


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, *, size: int = 1 << 20, content_type: str = TYPE) -> tuple[UploadForm, bytes]:
    form = UploadForm(pieces(body.removeprefix(b"\r\n"), size), content_type=content_type)
    await form.open()
    return form, b"".join([bytes(piece) async for piece in form.file()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
async def test_fields_and_file_are_read_however_the_bytes_are_cut(size: int) -> None:
    content = b"\r\n--b0undar\r\n--b0undary" + bytes(range(256)) + b"\r\n-"
    body = field("title", "Fährt\nlos".encode()) + file(content, filename="ä.mp4") + field("tag", b"x") + END
    form, got = await read(body, size=size)
    assert got == content
    assert form.fields == {"title": ["Fährt\nlos"], "tag": ["x"]}
    assert form.filename == "ä.mp4"
    assert form.content_type == "video/mp4"


@given(st.binary(max_size=400), st.integers(1, 50))
async def test_any_content_comes_back_byte_for_byte(content: bytes, size: int) -> None:
    _, got = await read(file(content) + END, size=size)
    assert got == content


@given(st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"b0undar", b"\r\n--b0undar", b"x"]), max_size=30))
async def test_content_that_looks_like_a_boundary_comes_back(parts: list[bytes]) -> None:
    content = b"".join(parts)
    _, got = await read(file(content) + END, size=5)
    assert got == content


async def test_only_fields_before_the_file_are_known_when_it_begins() -> None:
    body = field("title", b"early") + file(b"") + field("title", b"late") + END
    form = UploadForm(pieces(body.removeprefix(b"\r\n"), 10), content_type=TYPE)
    await form.open()
    assert form.fields == {"title": ["early"]}
    assert [piece async for piece in form.file()] == []
    assert form.fields == {"title": ["early", "late"]}


async def test_an_empty_filename_is_a_file_without_a_name() -> None:
    form, got = await read(file(b"abc", filename="") + END)
    assert got == b"abc"
    assert form.filename is None


@pytest.mark.parametrize(
    "body",
    [
        field("title", b"x") + END,
        b"--b0undary--\r\n",
        file(b"a") + file(b"b") + END,
        b"this is no form",
        b"\r\n--b0undary\r\nContent-Disposition: attachment; filename=x\r\n\r\nabc" + END,
        b"\r\n--b0undary\r\n\r\nabc" + END,
        b"\r\n--b0undary\r\nBad Header: x\r\n\r\nabc" + END,
        field("title", b"\xff") + file(b"") + END,
        b"\r\n--b0undary\r\n" + b"A: b\r\n" * (FORM_PART_HEADERS_MAX + 1) + b"\r\n" + END,
    ],
)
async def test_a_form_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        await read(body)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 300],
)
async def test_a_form_without_a_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidInput):
        await read(file(b"") + END, content_type=content_type)


WHOLE = field("title", b"x") + file(b"content") + field("tag", b"y") + END


@pytest.mark.parametrize("cut", range(3, len(WHOLE) - 4, 7))
async def test_a_form_that_is_cut_off_anywhere_never_passes_for_a_whole_one(cut: int) -> None:
    with pytest.raises(IncompleteBody):
        await read(WHOLE[:cut])


async def test_text_fields_are_limited_in_number_and_size() -> None:
    await read(field("title", b"x" * FORM_FIELDS_BYTES_MAX) + file(b"") + END)
    with pytest.raises(TooLarge):
        await read(field("title", b"x" * (FORM_FIELDS_BYTES_MAX + 1)) + file(b"") + END)
    with pytest.raises(TooLarge):
        await read(file(b"") + field("title", b"x" * (FORM_FIELDS_BYTES_MAX + 1)) + END)
    await read(field("t", b"") * FORM_FIELDS_MAX + file(b"") + END)
    with pytest.raises(TooLarge):
        await read(field("t", b"") * (FORM_FIELDS_MAX + 1) + file(b"") + END)


@given(st.binary(max_size=300), st.integers(1, 40))
async def test_no_bytes_break_the_parser(noise: bytes, size: int) -> None:
    with pytest.raises((InvalidInput, IncompleteBody, TooLarge)):
        await read(b"\r\n--b0undary" + noise, size=size)
