"""The Python client: everything the HTTP API does, typed, with retries where they are safe.

from reelstore.client import Client

with Client("http://127.0.0.1:5000") as client:
    video = client.upload("holiday.mp4", tags=["family"])
    client.download(video.id, "/backup")
"""

from reelstore.client.capacity_values import Capacity, FillSample, Forecast, Garbage, Lost, ServerCapacity
from reelstore.client.client import DEFAULT_URL, Client
from reelstore.client.cluster_values import (
    ChangedServer,
    Health,
    Rebalance,
    Redundancy,
    Ring,
    RingServer,
    Scrub,
    Server,
    Totals,
)
from reelstore.client.errors import (
    ConnectionFailed,
    DownloadFailed,
    InvalidRequest,
    Problem,
    ReelstoreClientError,
    SourceChanged,
    TargetExists,
    UnexpectedAnswer,
)
from reelstore.client.event_values import Event
from reelstore.client.filenames import safe_file_name
from reelstore.client.plan_values import Change, Move, Plan, PlannedServer, PlannedZone, PlanWarning
from reelstore.client.policy_values import Policy, Transfer
from reelstore.client.removal_values import RemovalCheck, RemovedServer, VideoAtRisk
from reelstore.client.uploading import Progress
from reelstore.client.values import ChunkPlace, Downloaded, Purged, Video, VideoPage
from reelstore.client.verification_values import (
    Emptied,
    QuarantinedShard,
    QuarantinePage,
    ShardProblem,
    Verification,
    VerifiedSlice,
)

__all__ = [
    "DEFAULT_URL",
    "Capacity",
    "Change",
    "ChangedServer",
    "ChunkPlace",
    "Client",
    "ConnectionFailed",
    "DownloadFailed",
    "Downloaded",
    "Emptied",
    "Event",
    "FillSample",
    "Forecast",
    "Garbage",
    "Health",
    "InvalidRequest",
    "Lost",
    "Move",
    "Plan",
    "PlanWarning",
    "PlannedServer",
    "PlannedZone",
    "Policy",
    "Problem",
    "Progress",
    "Purged",
    "QuarantinePage",
    "QuarantinedShard",
    "Rebalance",
    "Redundancy",
    "ReelstoreClientError",
    "RemovalCheck",
    "RemovedServer",
    "Ring",
    "RingServer",
    "Scrub",
    "Server",
    "ServerCapacity",
    "ShardProblem",
    "SourceChanged",
    "TargetExists",
    "Totals",
    "Transfer",
    "UnexpectedAnswer",
    "Verification",
    "VerifiedSlice",
    "Video",
    "VideoAtRisk",
    "VideoPage",
    "safe_file_name",
]
