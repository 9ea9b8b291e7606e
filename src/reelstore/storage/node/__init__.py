"""The node driver: a folder of another machine, over HTTP, with signed requests; `reelstore.node` is the far end."""

from reelstore.storage.node.access import NodeAccess
from reelstore.storage.node.server import NodeServer

__all__ = ["NodeAccess", "NodeServer"]
