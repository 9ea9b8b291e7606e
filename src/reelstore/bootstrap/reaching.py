"""How places are reached: which drivers there are, and what may be a server of a cluster."""

from __future__ import annotations

from dataclasses import replace

from reelstore.config import Settings
from reelstore.domain.errors import (
    InvalidServerUrl,
)
from reelstore.services.places import Drivers
from reelstore.storage import registry
from reelstore.storage.interface import StorageServer
from reelstore.storage.memory import MemoryServer
from reelstore.storage.node.access import NodeAccess, access_for_gateway

NODE_SECRET = "node.secret"  # noqa: S105 - the name of a file


def drivers_of(nodes: NodeAccess | None) -> Drivers:
    """Return how places are reached; nodes only where there is an access to them."""
    return Drivers(
        lambda url, name, capacity_bytes: registry.connect(url, name=name, capacity_bytes=capacity_bytes, nodes=nodes),
        registry.default_zone,
        registry.same_place,
        lambda url: registry.default_capacity(url, nodes=nodes),
    )


DRIVERS = drivers_of(None)


def durable(drivers: Drivers) -> Drivers:
    """Refuse places that forget: what a cluster on disks acknowledges must be on disks."""

    def connect(url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        driver = drivers.connect(url, name, capacity_bytes)
        if isinstance(driver, MemoryServer):
            raise InvalidServerUrl("memory: forgets all in the end; it is for `reelstore serve --memory`", field="url")
        return driver

    return replace(drivers, connect=connect)


def node_access(settings: Settings) -> NodeAccess | None:
    """Return how nodes are reached; see `access_for_gateway`."""
    return access_for_gateway(
        given=settings.node_secret.get_secret_value() if settings.node_secret else None,
        file=settings.node_secret_file,
        own_file=None if settings.memory else settings.data / NODE_SECRET,
        ca_file=settings.node_ca_file,
    )
