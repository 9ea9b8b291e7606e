"""The metadata as a portable file: out of one database and into another one, SQLite or PostgreSQL.

JSON, one document on each line, in UTF-8. The first says what it is; then come the rows, table by table, those that
others refer to first; the last one has their number and the BLAKE3 of all that is before it, so that a file that was
cut or altered is refused whole. Bytes are written in base64, moments as microseconds since 1970.

```json
{"reelstore_export": 1, "tables": "0004"}
{"table": "servers", "row": {"name": "disk1", "number": 0, …}}
{"rows": 1, "checksum": "…"}
```
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from blake3 import blake3
from sqlalchemy import Column, Connection, LargeBinary, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError

from reelstore.domain.errors import Conflict, InvalidInput
from reelstore.repositories.sql.schema import Instant, cluster, event_head, metadata, ring_head, videos
from reelstore.repositories.sql.upgrade import REVISION

FORMAT: Final = 1
ROWS_AT_ONCE: Final = 500
HEADS: Final = (ring_head, event_head)
"""Tables whose one row is there from the beginning."""


def export(connection: Connection, write: Callable[[bytes], object]) -> int:
    """Write everything, as of one moment, and return the number of rows.

    Args:
        connection: in a transaction that sees one moment.
        write: takes the file piece by piece; what it raises ends the export.
    """
    hashed, rows = blake3(), 0

    def put(document: dict[str, Any]) -> None:
        line = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        hashed.update(line)
        write(line)

    put({"reelstore_export": FORMAT, "tables": REVISION})
    for table in metadata.sorted_tables:
        statement = select(table).order_by(*table.primary_key.columns)
        streamed = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(statement)
        for row in streamed:
            values = zip(table.columns, row, strict=True)
            put({"table": table.name, "row": {column.name: _plain(column, value) for column, value in values}})
            rows += 1
    put({"rows": rows, "checksum": hashed.hexdigest()})
    return rows


def import_into(connection: Connection, lines: Iterable[bytes]) -> int:
    """Read what `export` wrote into a database that was never used, and return the number of rows.

    Args:
        connection: in a transaction, which the caller commits; after an error it is to be rolled back.
        lines: of the file.

    Raises:
        Conflict: the database holds something already.
        InvalidInput: the file is none of ours, of another version, cut or altered; the message says where.
    """
    for table in (cluster, videos):
        if connection.execute(select(table).limit(1)).first() is not None:
            raise Conflict("the database holds a cluster already; import into one that was never used")
    for head in HEADS:
        connection.execute(delete(head))
    rows, waiting, present = 0, list[dict[str, Any]](), None
    for table, values in _read(lines):
        if table is not present or len(waiting) == ROWS_AT_ONCE:
            _flush(connection, present, waiting)
            present = table
        waiting.append(values)
        rows += 1
    _flush(connection, present, waiting)
    return rows


def _flush(connection: Connection, table: Table | None, rows: list[dict[str, Any]]) -> None:
    if table is None or not rows:
        return
    try:
        connection.execute(insert(table), rows)
    except IntegrityError as error:
        raise InvalidInput(f"rows of {table.name} do not fit the others: the export was altered") from error
    rows.clear()


def _read(lines: Iterable[bytes]) -> Iterator[tuple[Table, dict[str, Any]]]:
    """Yield rows; at the end, and only then, it is proved that all were there."""
    hashed, rows, ended = blake3(), 0, False
    for number, line in enumerate(lines, 1):
        document = _document(line, number)
        if number == 1:
            _check_header(document)
        elif ended:
            raise InvalidInput(f"line {number}: something follows on the end of the export")
        elif "checksum" in document:
            if (document.get("rows"), document["checksum"]) != (rows, hashed.hexdigest()):
                raise InvalidInput(f"line {number}: the checksum does not match: the export was altered, or lost rows")
            ended = True
        else:
            rows += 1
            yield _row(document, number)
        hashed.update(line)
    if not ended:
        raise InvalidInput("the export is cut off: its last line is missing")


def _document(line: bytes, number: int) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInput(f"line {number} is no JSON: this is no export of Reelstore, or it is cut off") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"line {number}: this is no export of Reelstore")
    return document


def _check_header(document: dict[str, Any]) -> None:
    if document.get("reelstore_export") != FORMAT:
        raise InvalidInput(f"line 1: this is no export of Reelstore in format {FORMAT}")
    if document.get("tables") != REVISION:
        raise InvalidInput(
            f"the export is of tables {document.get('tables')!r}, and this Reelstore has {REVISION}: import it with "
            "the version that wrote it, then upgrade"
        )


def _row(document: dict[str, Any], number: int) -> tuple[Table, dict[str, Any]]:
    table, row = metadata.tables.get(str(document.get("table"))), document.get("row")
    if table is None or not isinstance(row, dict) or row.keys() != set(table.columns.keys()):
        raise InvalidInput(f"line {number}: not a row of a table that there is")
    try:
        return table, {name: _value(table.columns[name], value) for name, value in row.items()}
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"line {number}: a value of table {table.name} cannot be read") from None


def _plain(column: Column[Any], value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    if value is None:
        return None
    if isinstance(column.type, LargeBinary):
        return base64.b64encode(value).decode()
    return Instant.number(value) if isinstance(column.type, Instant) else value


def _value(column: Column[Any], value: Any) -> Any:  # noqa: ANN401 - the same
    if value is None:
        return None
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(value, validate=True)
    return Instant.moment(value) if isinstance(column.type, Instant) else value
