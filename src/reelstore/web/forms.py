"""Uploads by `multipart/form-data` (RFC 7578), read as the bytes arrive: nothing is spooled to disk or memory."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from reelstore.domain.errors import IncompleteBody, InvalidInput, TooLarge
from reelstore.web.disposition import Disposition, parse_disposition
from reelstore.web.limits import (
    FORM_FIELDS_BYTES_MAX,
    FORM_FIELDS_MAX,
    FORM_PART_HEADER_BYTES_MAX,
    FORM_PART_HEADERS_MAX,
)


class UploadForm:
    """A form with text fields and exactly one file part, whatever that part's field is called.

    First `open`: it reads up to the file's first byte. Then iterate `file` to its end: it yields the file's bytes,
    unchanged and without a copy, and returns only after the form's closing boundary has arrived, so that a form
    which was cut off can never pass for a whole one.

    Args:
        pieces: the request's body.
        content_type: the request's `Content-Type`, with the boundary.

    Raises:
        InvalidInput: there is no usable boundary; a retry does not help.
    """

    def __init__(self, pieces: AsyncIterator[bytes], *, content_type: str) -> None:
        self.fields: dict[str, list[str]] = {}
        """Values of the text fields read so far, by field name, in order."""
        self.filename: str | None = None
        """The name that the client gave the file part; None if it gave none or an empty one."""
        self.content_type: str | None = None
        """The file part's own media type, as sent."""

        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise InvalidInput("the form's Content-Type names no boundary", field="Content-Type")
        self._pieces = pieces
        self._file: deque[memoryview] = deque()
        self._file_begun = self._in_file = self._ended = False
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._field: str | None = None
        self._value = bytearray()
        self._fields_count = self._fields_bytes = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
                max_header_count=FORM_PART_HEADERS_MAX,
                max_header_size=FORM_PART_HEADER_BYTES_MAX,
            )
        except FormParserError as error:
            raise InvalidInput(f"the form's boundary cannot be used: {error}", field="Content-Type") from error

    async def open(self) -> None:
        """Read until the file part begins.

        Raises:
            InvalidInput: the form has no file part, or is malformed; a retry does not help.
            TooLarge: too many or too long text fields; a retry does not help.
            IncompleteBody: the body ended early; a retry can help.
        """
        while not self._file_begun:
            if self._ended:
                raise InvalidInput(
                    "the form has no file part: a part with a filename, as `curl -F file=@video.mp4` sends it",
                    field="file",
                )
            await self._read()

    async def file(self) -> AsyncGenerator[memoryview, None]:
        """Yield the file's bytes; see the class. Raises what `open` raises, also for what follows the file."""
        while True:
            while self._file:
                yield self._file.popleft()
            if self._ended:
                return
            await self._read()

    async def _read(self) -> None:
        """Parse one more piece of the body."""
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise IncompleteBody("the form ended before its closing boundary") from None
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise InvalidInput(f"the form is malformed: {error}", field="body") from error

    def _on_part_begin(self) -> None:
        self._headers = {}
        self._header_name = self._header_value = b""

    def _on_header_field(self, data: bytes, start: int, stop: int) -> None:
        self._header_name += data[start:stop]

    def _on_header_value(self, data: bytes, start: int, stop: int) -> None:
        self._header_value += data[start:stop]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        disposition = parse_disposition(self._headers.get(b"content-disposition", b""))
        if disposition.kind != "form-data":
            raise InvalidInput("a part of the form has no `Content-Disposition: form-data`", field="body")
        if disposition.filename is None:
            self._begin_field(disposition)
        elif self._file_begun:
            raise InvalidInput("the form has more than one file part; send one request for each file", field="file")
        else:
            self._in_file = self._file_begun = True
            self.filename = disposition.filename or None
            content_type = self._headers.get(b"content-type")
            self.content_type = None if content_type is None else content_type.decode("latin-1")

    def _begin_field(self, disposition: Disposition) -> None:
        self._fields_count += 1
        if self._fields_count > FORM_FIELDS_MAX:
            raise TooLarge(f"the form has more than {FORM_FIELDS_MAX} fields", limit=FORM_FIELDS_MAX)
        self._field = disposition.name or ""
        self._value = bytearray()

    def _on_part_data(self, data: bytes, start: int, stop: int) -> None:
        if self._in_file:
            self._file.append(memoryview(data)[start:stop])
            return
        self._fields_bytes += stop - start
        if self._fields_bytes > FORM_FIELDS_BYTES_MAX:
            raise TooLarge(
                f"the form's text fields have more than {FORM_FIELDS_BYTES_MAX} bytes; a file needs a filename, as "
                "`curl -F file=@video.mp4` sends it",
                limit=FORM_FIELDS_BYTES_MAX,
            )
        self._value += memoryview(data)[start:stop]

    def _on_part_end(self) -> None:
        if self._in_file:
            self._in_file = False
            return
        field = self._field or ""
        try:
            text = self._value.decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"the form's field {field!r} is not UTF-8", field=field) from None
        self.fields.setdefault(field, []).append(text)

    def _on_end(self) -> None:
        self._ended = True
