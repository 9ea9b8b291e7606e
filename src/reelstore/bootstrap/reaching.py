"""How places are reached: which drivers there are, and what may be a server of a cluster."""

from __future__ import annotations

from dataclasses import replace

from reelstore.config import Settings, variables_beginning_with
from reelstore.domain.errors import (
    InvalidServerUrl,
)
from reelstore.services.places import Drivers
from reelstore.storage import registry
from reelstore.storage.bucket.access import VARIABLES, BucketAccess
from reelstore.storage.interface import StorageServer
from reelstore.storage.memory import MemoryServer
from reelstore.storage.node.access import access_for_gateway
from reelstore.storage.registry import Access

NODE_SECRET = "node.secret"  # noqa: S105 - the name of a file


def drivers_of(access: Access) -> Drivers:
    """Return how places are reached; nodes and buckets only where there is an access to them."""
    return Drivers(
        lambda url, name, capacity_bytes: registry.connect(
            url, name=name, capacity_bytes=capacity_bytes, access=access
        ),
        registry.default_zone,
        registry.same_place,
        lambda url: registry.default_capacity(url, access=access),
    )


DRIVERS = drivers_of(registry.NO_ACCESS)


def durable(drivers: Drivers) -> Drivers:
    """Refuse places that forget: what a cluster on disks acknowledges must be on disks."""

    def connect(url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        driver = drivers.connect(url, name, capacity_bytes)
        if isinstance(driver, MemoryServer):
            raise InvalidServerUrl("memory: forgets all in the end; it is for `reelstore serve --memory`", field="url")
        return driver

    return replace(drivers, connect=connect)


def access_of(settings: Settings) -> Access:
    """Return what nodes and buckets are reached with.

    Raises:
        ConfigurationError: what was given for nodes cannot be used.
    """
    nodes = access_for_gateway(
        given=settings.node_secret.get_secret_value() if settings.node_secret else None,
        file=settings.node_secret_file,
        own_file=None if settings.memory else settings.data / NODE_SECRET,
        ca_file=settings.node_ca_file,
    )
    return Access(nodes, BucketAccess(variables_beginning_with(*VARIABLES)))
