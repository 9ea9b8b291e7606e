"""Commit until killed: `python sqlite_child.py URL PREFIX` prints each file's id once its commit was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import sys

from reelstore.repositories.sql import SqlMetadata
from tests.contract.metadata_values import add_file


async def main(url: str, prefix: str) -> None:
    metadata = await SqlMetadata.open(url)
    for number in itertools.count():
        file_id = f"{prefix}-{number}"
        async with metadata.unit_of_work() as uow:
            await add_file(uow, file_id, range(number, number + 8))
            await uow.commit()
        sys.stdout.write(f"{file_id}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
