"""The bucket driver: shards as keys below a prefix of an S3, Google Cloud Storage or Azure bucket."""

from reelstore.storage.bucket.access import BucketAccess
from reelstore.storage.bucket.server import BucketServer

__all__ = ["BucketAccess", "BucketServer"]
