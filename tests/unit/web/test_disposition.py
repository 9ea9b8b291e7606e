from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.web.disposition import Disposition, content_disposition, parse_disposition


def test_a_plain_name_needs_no_extended_form() -> None:
    assert content_disposition("inline", "holiday 1.mp4") == 'inline; filename="holiday 1.mp4"'


def test_any_other_name_gets_a_fallback_and_its_exact_form() -> None:
    assert (
        content_disposition("attachment", 'Ünï "1"/2.mp4')
        == "attachment; filename=\"_n_ _1__2.mp4\"; filename*=UTF-8''%C3%9Cn%C3%AF%20%221%22%2F2.mp4"
    )


@given(st.text())
def test_any_text_gives_one_safe_header_that_reads_back_exactly(name: str) -> None:
    value = content_disposition("attachment", name)
    assert value.isascii()
    assert value.isprintable()
    assert parse_disposition(value.encode("ascii")).filename == name.encode("utf-8", "replace").decode()


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\\%")))
def test_a_form_as_browsers_write_it_reads_back_exactly(name: str) -> None:
    written = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    assert parse_disposition(f'form-data; name="file"; filename="{written}"'.encode()).filename == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", Disposition("", None, None)),
        (b"attachment", Disposition("attachment", None, None)),
        (b"ATTACHMENT; FileName=a.mp4", Disposition("attachment", None, "a.mp4")),
        (b'form-data; name="file"; filename=""', Disposition("form-data", "file", "")),
        (b'form-data; name="a;b"; filename="c;d=e.mp4"', Disposition("form-data", "a;b", "c;d=e.mp4")),
        (rb'form-data; name="f"; filename="a\"b\\c.mp4"', Disposition("form-data", "f", 'a"b\\c.mp4')),
        (rb'form-data; name="f"; filename="C:\dir\a.mp4"', Disposition("form-data", "f", r"C:\dir\a.mp4")),
        ('form-data; name="f"; filename="ä.mp4"'.encode(), Disposition("form-data", "f", "ä.mp4")),
        ('form-data; name="f"; filename="ä.mp4"'.encode("latin-1"), Disposition("form-data", "f", "ä.mp4")),
        (b"form-data; name=f; filename=x; filename*=UTF-8''%c3%a4.mp4", Disposition("form-data", "f", "ä.mp4")),
        (b"attachment; filename*=iso-8859-1'en'%e4.mp4", Disposition("attachment", None, "ä.mp4")),
        (b"attachment; filename=x; filename*=UTF-8''%ff", Disposition("attachment", None, "x")),
        (b"attachment; filename=x; filename*=utf-7''a", Disposition("attachment", None, "x")),
        (b'attachment; filename="100%22.mp4"', Disposition("attachment", None, "100%22.mp4")),
    ],
)
def test_what_clients_send_is_understood(value: bytes, expected: Disposition) -> None:
    assert parse_disposition(value) == expected


@given(st.binary(max_size=200))
def test_no_header_breaks_the_parser(value: bytes) -> None:
    parse_disposition(b"form-data;" + value)


def test_the_exact_form_is_percent_encoded_utf_8() -> None:
    value = content_disposition("inline", "日本語 🎬.mkv")
    assert unquote(value.partition("UTF-8''")[2]) == "日本語 🎬.mkv"
