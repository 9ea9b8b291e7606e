"""What a real PostgreSQL does to the metadata: it goes away and returns, is a standby, old, foreign, or too slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from alembic import command

from reelstore.domain.errors import ConfigurationError, InvalidInput, MetadataUnavailable
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.repositories.migrations import script_config
from reelstore.repositories.sql import SqlMetadata, postgresql
from reelstore.repositories.sql.upgrade import REVISION, upgrade
from tests.contract.metadata_values import open_file
from tests.postgres import Postgres


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """Start a server that tests may stop."""
    with Postgres() as server:
        yield server


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """Make a database without any table."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
async def metadata(postgres_url: str) -> AsyncIterator[Metadata]:
    opened = await SqlMetadata.open(postgres_url)
    yield opened
    await opened.close()


async def _add(metadata: Metadata, file_id: str) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.files.add(open_file(file_id))

    await metadata.transact(work)


async def _has(metadata: Metadata, file_id: str) -> bool:
    async with metadata.snapshot() as view:
        return await view.files.get(file_id) is not None


async def test_a_database_that_goes_away_and_returns_is_used_again(own_server: Postgres) -> None:
    metadata = await SqlMetadata.open(own_server.url(own_server.new_database()))
    await _add(metadata, "f")
    for end in (own_server.stop, own_server.kill):
        async with metadata.unit_of_work() as uow:
            await uow.files.add(open_file("g"))
            end()
            with pytest.raises(MetadataUnavailable):
                await uow.commit()
        with pytest.raises(MetadataUnavailable):
            await _add(metadata, "g")
        with pytest.raises(MetadataUnavailable):
            await _has(metadata, "f")
        own_server.start()
        # Idle connections are lost as well: the first unit on each of them is a good one all the same.
        assert await _has(metadata, "f")
        assert not await _has(metadata, "g")
        await _add(metadata, "h")
        async with metadata.unit_of_work() as uow:
            await uow.files.delete("h")
            await uow.commit()
    await metadata.close()


async def test_a_standby_is_refused_until_it_is_promoted(own_server: Postgres) -> None:
    name = own_server.new_database()
    upgrade(own_server.url(name))
    own_server.stop()
    standby = Postgres(copy_of=own_server)
    own_server.start()
    with standby:
        with pytest.raises(MetadataUnavailable, match="standby"):
            await SqlMetadata.open(standby.url(name))
        standby.promote()
        places = set()
        for server in (own_server, standby):
            metadata = await SqlMetadata.open(server.url(name))
            await _add(metadata, "f")
            async with metadata.snapshot() as view:
                places.add(await view.cluster.whereabouts())
            await metadata.close()
        assert len(places) == 2  # who was promoted is a copy


async def test_a_process_does_not_go_on_with_a_standby_that_was_promoted_meanwhile() -> None:
    with Postgres() as primary:
        name = primary.new_database()
        upgrade(primary.url(name))
        primary.stop()
        standby = Postgres(copy_of=primary)
        primary.start()
        metadata = await SqlMetadata.open(primary.url(name))
        await _add(metadata, "f")
        primary.kill()
        standby.port = primary.port
        with standby:
            standby.promote()
            for _ in range(2):
                with pytest.raises(MetadataUnavailable, match="promoted or replaced"):
                    await _add(metadata, "g")
            again = await SqlMetadata.open(standby.url(name))
            await _add(again, "g")
            await again.close()
        await metadata.close()


async def test_an_ordinary_user_may_ask_where_the_database_is(postgres: Postgres, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO ordinary")
    metadata = await SqlMetadata.open(postgres_url.replace("reelstore@", "ordinary@"))
    async with metadata.snapshot() as view:
        assert "timeline" in await view.cluster.whereabouts()
    await metadata.close()


async def test_commits_are_durable_whatever_the_database_is_set_to(postgres: Postgres, empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {empty.rpartition('/')[2]} SET synchronous_commit = off")
    metadata = await SqlMetadata.open(empty)

    async def ask(uow: UnitOfWork) -> str:
        found = await uow.files._session.read(  # type: ignore[attr-defined]  # what the connection is set to
            lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
        )
        return str(found)

    assert await metadata.transact(ask) == "on"
    async with metadata.unit_of_work() as uow:
        assert await ask(uow) == "on"
    await metadata.close()


async def test_who_is_silent_in_a_transaction_is_ended_so_that_others_go_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql.SESSION, "idle_in_transaction_session_timeout", "200ms")
    silent, other = await SqlMetadata.open(postgres_url), await SqlMetadata.open(postgres_url)
    async with silent.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        await _add(other, "g")
        with pytest.raises(MetadataUnavailable):
            await uow.commit()
    assert not await _has(other, "f")
    await _add(silent, "f")
    await silent.close()
    await other.close()


async def test_a_lock_that_nobody_gives_back_is_not_waited_for_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql.SESSION, "lock_timeout", "100ms")
    metadata = await SqlMetadata.open(postgres_url)
    with psycopg.connect(postgres_url) as stranger:
        stranger.execute("LOCK TABLE ring_head IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(MetadataUnavailable, match="locked"):
            await _add(metadata, "f")
    await _add(metadata, "f")
    await metadata.close()


async def test_text_that_the_database_cannot_hold_is_invalid_input(metadata: Metadata) -> None:
    for file_id in ("a\0b", "\ud800"):
        with pytest.raises(InvalidInput):
            await _add(metadata, file_id)
    await _add(metadata, "f")


# ---------------------------------------------------------------------- tables


async def test_an_empty_database_gets_its_tables_once_however_many_begin(empty: str) -> None:
    opened = await asyncio.gather(*(SqlMetadata.open(empty) for _ in range(3)))
    await _add(opened[0], "f")
    assert await _has(opened[2], "f")
    for metadata in opened:
        await metadata.close()
    assert upgrade(empty) == REVISION


async def test_older_tables_are_refused_until_an_operator_upgrades_them(postgres: Postgres, empty: str) -> None:
    engine = postgresql.make_engine(postgresql.database_url(empty))
    with engine.begin() as connection:
        config = script_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with pytest.raises(ConfigurationError, match="db upgrade"):
        await SqlMetadata.open(empty)
    assert upgrade(empty) == "0001"
    metadata = await SqlMetadata.open(empty)
    await _add(metadata, "f")
    await metadata.close()


async def test_newer_tables_are_refused_also_by_an_upgrade(empty: str) -> None:
    upgrade(empty)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="newer"):
        await SqlMetadata.open(empty)
    with pytest.raises(ConfigurationError, match="newer"):
        upgrade(empty)


async def test_a_database_of_something_else_is_left_alone(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE TABLE recipes (name text)")
        with pytest.raises(ConfigurationError, match="something else"):
            await SqlMetadata.open(empty)
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert found == [("recipes",)]


async def test_a_database_that_cannot_hold_every_name_is_refused(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(ConfigurationError, match="LATIN1"):
        await SqlMetadata.open(postgres.url("latin"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgres://secret@h/d", "write postgresql://"),
        ("postgresql+asyncpg://u:secret@h/d", "write postgresql://"),
        ("postgresql://u:secret@h", "must name a database"),
        ("postgresql://u:secret@h:port/d", "cannot be read"),
        ("mysql://u:secret@h/d", "sqlite:// and postgresql:// are supported"),
    ],
)
async def test_a_url_that_cannot_be_used_is_explained_without_the_password(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        await SqlMetadata.open(url)
    assert "secret" not in str(refused.value)


async def test_a_server_that_is_not_there_is_said_so_without_the_password() -> None:
    with pytest.raises(MetadataUnavailable, match="does not answer") as refused:
        await SqlMetadata.open("postgresql://user:secret@127.0.0.1:1/reelstore")
    assert "secret" not in str(refused.value)
