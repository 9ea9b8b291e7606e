"""Settings: the only module that reads the environment.

Flags come first, then `REELSTORE_…` variables, then a TOML file, then the defaults. `docs/settings.md` lists them all.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from reelstore.domain.errors import ConfigurationError
from reelstore.domain.policy import CHUNK_SIZE_BYTES_DEFAULT, CHUNK_SIZE_BYTES_MAX, CHUNK_SIZE_BYTES_MIN, COPIES_MAX
from reelstore.domain.server import Eviction

MIB = 1024 * 1024
SECONDS_MAX = 366 * 86_400.0
"""A year: longer is a slip, and an endless time would fail only later, as a date that cannot be."""


def _split(value: object) -> object:
    """Read a list from a variable: JSON, or what lies between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",")]


Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX)]


class Settings(BaseSettings):
    """How one gateway runs; every field is a setting with its unit in its name."""

    model_config = SettingsConfigDict(env_prefix="REELSTORE_", frozen=True, extra="forbid")

    data: Annotated[Path, Field(description="The folder that holds the database and the first servers.")] = Path(
        "reelstore-data"
    )
    host: Annotated[str, Field(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 5000
    database_url: Annotated[
        str | None, Field(description="The metadata database; an SQLite file in the data folder when not given.")
    ] = None
    memory: Annotated[bool, Field(description="Keep everything in memory: gone when the process ends.")] = False
    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$", description="The least severe message that is logged.")
    ] = "info"
    allowed_hosts: Annotated[
        tuple[str, ...] | None,
        NoDecode,
        BeforeValidator(_split),
        Field(description="Values of the Host header that are served; by default loopback names when bound to one."),
    ] = None
    copies: Annotated[
        int, Field(ge=1, le=COPIES_MAX, description="Copies that the default policy of a new cluster keeps.")
    ] = 2
    first_servers: Annotated[
        int, Field(ge=0, le=64, description="Directory servers of a new cluster, in its data folder; 0: none yet.")
    ] = 3
    chunk_size_bytes: Annotated[
        int,
        Field(
            ge=CHUNK_SIZE_BYTES_MIN, le=CHUNK_SIZE_BYTES_MAX, description="The chunk size of a new cluster's policy."
        ),
    ] = CHUNK_SIZE_BYTES_DEFAULT
    partition_bits: Annotated[
        int, Field(ge=2, le=16, description="A new cluster's ring has two to the power of this many partitions.")
    ] = 12
    write_memory_bytes: Annotated[int, Field(ge=64 * MIB, description="Chunk buffers of all uploads together.")] = (
        512 * MIB
    )
    read_memory_bytes: Annotated[int, Field(ge=64 * MIB, description="Chunks that all readers hold.")] = 512 * MIB
    cache_bytes: Annotated[int, Field(ge=0, description="Verified chunks kept for the next reader.")] = 128 * MIB
    open_file_seconds: Annotated[
        Seconds, Field(description="How long an upload outlives its gateway before its space is freed.")
    ] = 60.0
    put_timeout_seconds: Annotated[
        Seconds, Field(description="After which a server that takes a shard counts as not answering.")
    ] = 30.0
    get_timeout_seconds: Annotated[
        Seconds, Field(description="After which a server that gives a shard counts as not answering.")
    ] = 15.0
    probe_seconds: Annotated[Seconds, Field(description="How often each server is asked whether it is there.")] = 2.0
    probe_misses: Annotated[
        int, Field(ge=1, le=1000, description="Probes in a row without an answer that make a server unreachable.")
    ] = 3
    evict: Annotated[
        Eviction,
        Field(description="Whether servers that are silent for long leave the ring: `auto` is on from three zones."),
    ] = Eviction.AUTO
    evict_after_seconds: Annotated[
        Seconds, Field(description="How long a server must have been silent before it is evicted.")
    ] = 1800.0
    expiry_seconds: Annotated[Seconds, Field(description="How often ended uploads are looked for.")] = 5.0
    survey_seconds: Annotated[
        Seconds, Field(description="The rest between two surveys, each of which lists every server.")
    ] = 15.0
    scrub_seconds: Annotated[Seconds, Field(description="Within which every shard is read and hashed again.")] = (
        7 * 86_400.0
    )
    scrub_bytes_per_second: Annotated[
        int, Field(ge=MIB, description="The most that is read for verifying, on average.")
    ] = 256 * MIB
    quarantine_seconds: Annotated[
        Seconds, Field(description="How long copies of suspect bytes are kept for an operator to look at.")
    ] = 30 * 86_400.0
    usage_sample_seconds: Annotated[
        Seconds, Field(description="How often it is written down how full each server is.")
    ] = 600.0
    event_keep_seconds: Annotated[Seconds, Field(description="How long events are kept.")] = 30 * 86_400.0
    node_secret_file: Annotated[
        Path | None, Field(description="The file with the secret that nodes share; `node.secret` in the data folder.")
    ] = None
    node_secret: Annotated[
        SecretStr | None, Field(description="The secret itself, instead of a file; for the environment only.")
    ] = None
    node_ca_file: Annotated[
        Path | None, Field(description="The authority that signed the certificates of `https://` nodes; the system's.")
    ] = None
    background: Annotated[bool, Field(description="Whether this process repairs, scrubs and frees.")] = True
    drain_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=SECONDS_MAX,
            description="How long `/readyz` says no before no connection is taken any more, once told to end.",
        ),
    ] = 0.0
    graceful_seconds: Annotated[
        float, Field(ge=0, le=SECONDS_MAX, description="How long requests may go on after the process was told to end.")
    ] = 10.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take flags and variables only; the TOML file is joined in `load_settings`."""
        return init_settings, env_settings


def load_settings(config: Path | None = None, **flags: Any) -> Settings:  # noqa: ANN401 - validated by the model
    """Read the settings.

    Args:
        config: a TOML file whose keys are the settings' names.
        flags: settings given on the command line; None means not given.

    Raises:
        ConfigurationError: a value or a file cannot be used; says which.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        filed = _read(config) if config is not None else {}
        from_environment = {name for name in filed if name in Settings(**given).model_fields_set}
        return Settings(**{name: value for name, value in filed.items() if name not in from_environment} | given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"a setting cannot be used: {problems}") from None


def node_secret_from_environment() -> str | None:
    """Return the variable `REELSTORE_NODE_SECRET`, for a node, which has no other settings; None when it is not set."""
    return os.environ.get("REELSTORE_NODE_SECRET") or None


def variables_beginning_with(*stems: str) -> dict[str, str]:
    """Return the variables whose names begin so: the credentials of buckets, which no setting holds."""
    return {name: value for name, value in os.environ.items() if name.startswith(stems)}


def _read(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"the configuration file {config} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the configuration file {config} is no TOML: {error}") from None
