"""The part of the client that looks at the cluster and changes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack

from reelstore.client.asking import Asking, given
from reelstore.client.cluster_values import ChangedServer, Health, Rebalance, Ring, Server
from reelstore.client.event_values import Event
from reelstore.client.plan_values import Change, Plan
from reelstore.client.policy_values import Policy, Transfer
from reelstore.client.removal_values import RemovalCheck, RemovedServer
from reelstore.client.values import Video
from reelstore.client.wire import segment

# A new server's place is claimed while the answer is waited for, and its disk may take its time.
CHANGE_TIMEOUT_SECONDS = 300.0
# Every server is listed whole before the answer begins.
LISTING_TIMEOUT_SECONDS = 3600.0


class RebalanceChange(TypedDict, total=False):
    """What to set: see `ClusterCalls.set_rebalance`."""

    paused: bool
    bytes_per_second: int | None
    concurrency: int | None


class ClusterCalls(Asking):
    """Look at the cluster and change it; `Client` says what every call may raise."""

    def servers(self) -> tuple[Server, ...]:
        """List the storage servers."""
        return tuple(Server.parse(item) for item in self._items("/servers", "server", query={}, limit=None))

    def server(self, name: str) -> Server:
        """Describe a storage server."""
        return Server.parse(self._ask("GET", f"/servers/{segment(name)}", "server"))

    def server_history(self, name: str, *, limit: int | None = None) -> Iterator[Event]:
        """Iterate over what happened to a storage server, the newest first; also to one that is removed."""
        for item in self._items(f"/servers/{segment(name)}/history", "event", query={}, limit=limit):
            yield Event.parse(item)

    def server_videos(self, name: str, *, limit: int | None = None) -> Iterator[Video]:
        """Iterate over the videos with bytes on a storage server."""
        for item in self._items(f"/servers/{segment(name)}/videos", "video", query={}, limit=limit):
            yield Video.parse(item)

    def add_server(
        self,
        name: str,
        url: str,
        *,
        zone: str | None = None,
        capacity_bytes: int | None = None,
        accept_warnings: bool = False,
    ) -> ChangedServer:
        """Add a storage server to the ring: plan it, and apply the plan at once.

        Args:
            name: unique, and never changed.
            url: which driver, and where, such as `file:///srv/disk4`.
            zone: servers that may fail together share one; the driver's choice when absent.
            capacity_bytes: its weight; the driver's choice when absent.
            accept_warnings: do it in spite of warnings that must be accepted.
        """
        body = given(name=name, url=url, zone=zone, capacity_bytes=capacity_bytes)
        return self._changed_server("POST", "/servers", body, accept_warnings=accept_warnings)

    def update_server(
        self,
        name: str,
        *,
        zone: str | None = None,
        capacity_bytes: int | None = None,
        state: str | None = None,
        accept_warnings: bool = False,
    ) -> ChangedServer:
        """Change a storage server: plan it, and apply the plan at once. What is None stays.

        Args:
            name: which.
            zone: servers that may fail together share one.
            capacity_bytes: its weight.
            state: `draining` to empty it, `active` to have it take part again.
            accept_warnings: do it in spite of warnings that must be accepted.
        """
        body = given(zone=zone, capacity_bytes=capacity_bytes, state=state)
        return self._changed_server("PATCH", f"/servers/{segment(name)}", body, accept_warnings=accept_warnings)

    def _changed_server(
        self, method: str, path: str, body: dict[str, object] | None, *, accept_warnings: bool
    ) -> ChangedServer:
        query = {"accept_warnings": "true"} if accept_warnings else {}
        answer = self._ask(method, path, "server", query=query, body=body, timeout_seconds=CHANGE_TIMEOUT_SECONDS)
        return ChangedServer.parse(answer)

    def remove_server(self, name: str, *, accept_warnings: bool = False) -> ChangedServer:
        """Drain a storage server at once, and have it removed when a listing has proved that it is empty.

        Args:
            name: which.
            accept_warnings: do it in spite of warnings that must be accepted.
        """
        return self._changed_server("DELETE", f"/servers/{segment(name)}", None, accept_warnings=accept_warnings)

    def force_out_server(
        self, name: str, *, accept_loss: str | None = None, accept_warnings: bool = False
    ) -> RemovedServer:
        """Remove a storage server that does not answer.

        Args:
            name: which.
            accept_loss: its name once more, to remove it though data may be lost with it; without, a `Problem` of type
                `removal-unsafe` names the videos at risk.
            accept_warnings: do it in spite of warnings that must be accepted.
        """
        query = given(force="true", accept_loss=accept_loss, accept_warnings="true" if accept_warnings else None)
        path = f"/servers/{segment(name)}"
        return RemovedServer.parse(
            self._ask("DELETE", path, "removed server", query=query, timeout_seconds=LISTING_TIMEOUT_SECONDS)
        )

    def removal_check(self, name: str) -> RemovalCheck:
        """Ask whether it is safe to power a storage server off; takes as long as listing every server does."""
        path = f"/servers/{segment(name)}/removal-check"
        return RemovalCheck.parse(self._ask("GET", path, "removal check", timeout_seconds=LISTING_TIMEOUT_SECONDS))

    def policies(self) -> tuple[Policy, ...]:
        """List the policies, in order of name."""
        return tuple(Policy.parse(item) for item in self._items("/policies", "policy", query={}, limit=None))

    def add_policy(
        self,
        name: str,
        *,
        copies: int | None = None,
        erasure: tuple[int, int] | None = None,
        copies_min: int | None = None,
        chunk_size_bytes: int | None = None,
        default: bool = False,
    ) -> Policy:
        """Create a policy; it is never edited.

        Args:
            name: new.
            copies: full copies of each chunk; or else
            erasure: how many fragments make a chunk whole, and how many more there are.
            copies_min: servers that must acknowledge a write.
            chunk_size_bytes: the size at which a body is cut.
            default: have it hold for videos that name none.
        """
        k, m = erasure or (None, None)
        kind = "replicated" if erasure is None else "erasure"
        body = given(
            name=name, kind=kind, copies=copies, k=k, m=m, copies_min=copies_min, chunk_size_bytes=chunk_size_bytes
        )
        body["default"] = default
        return Policy.parse(self._ask("POST", "/policies", "policy", body=body, timeout_seconds=CHANGE_TIMEOUT_SECONDS))

    def make_policy_default(self, name: str) -> Policy:
        """Have a policy hold for videos that name none, from now on."""
        return Policy.parse(self._ask("PATCH", f"/policies/{segment(name)}", "policy", body={"default": True}))

    def transfer(self, video_id: str, policy: str) -> Video:
        """Have a video stored under another policy, in the background; naming the one that it has calls that off."""
        return Video.parse(self._ask("PATCH", f"/videos/{segment(video_id)}", "video", body={"policy": policy}))

    def transfers(self) -> tuple[Transfer, ...]:
        """List up to 1,000 videos that are on their way to another policy."""
        answer = self._ask("GET", "/transfers", "page of transfers")
        return tuple(Transfer.parse(item) for item in answer.children("items", "transfer"))

    def ring(self, policy: str | None = None) -> Ring:
        """Describe the ring of a policy: of the default one when none is named."""
        return Ring.parse(self._ask("GET", "/ring", "ring", query=given(policy=policy)))

    def plan_changes(self, changes: Sequence[Change]) -> Plan:
        """Compute what changes would cost; nothing else happens until the plan is applied.

        Args:
            changes: at least one, no server twice.
        """
        body = {"changes": [change.document for change in changes]}
        return Plan.parse(self._ask("POST", "/ring/plans", "plan", body=body, timeout_seconds=CHANGE_TIMEOUT_SECONDS))

    def plan_revert(self, *, epoch: int | None = None) -> Plan:
        """Compute what it would cost to go back to the servers of an epoch: by default the one before the newest."""
        body = given(epoch=epoch, stage=True)
        return Plan.parse(self._ask("POST", "/ring/revert", "plan", body=body, timeout_seconds=CHANGE_TIMEOUT_SECONDS))

    def plans(self, *, limit: int = 20) -> tuple[Plan, ...]:
        """List up to 100 plans, applied or not, the newest first."""
        answer = self._ask("GET", "/ring/plans", "page of plans", query={"limit": limit})
        return tuple(Plan.parse(item) for item in answer.children("items", "plan"))

    def plan(self, plan_id: str) -> Plan:
        """Describe a plan."""
        return Plan.parse(self._ask("GET", f"/ring/plans/{segment(plan_id)}", "plan"))

    def apply_plan(self, plan_id: str, *, accept_warnings: bool = False) -> Plan:
        """Apply a plan: data moves from now on.

        Args:
            plan_id: which.
            accept_warnings: do it in spite of warnings that must be accepted; else a `Problem` names them.
        """
        path = f"/ring/plans/{segment(plan_id)}/apply"
        body = {"accept_warnings": accept_warnings}
        return Plan.parse(self._ask("POST", path, "plan", body=body, timeout_seconds=CHANGE_TIMEOUT_SECONDS))

    def revert(self, *, epoch: int | None = None, accept_warnings: bool = False) -> Plan:
        """Go back to the servers of an epoch, at once; see `plan_revert`."""
        body = given(epoch=epoch, accept_warnings=accept_warnings)
        return Plan.parse(self._ask("POST", "/ring/revert", "plan", body=body, timeout_seconds=CHANGE_TIMEOUT_SECONDS))

    def health(self) -> Health:
        """Tell how the cluster is."""
        return Health.parse(self._ask("GET", "/health", "health"))

    def rebalance(self) -> Rebalance:
        """Tell how far the cluster is in moving and mending shards."""
        return Rebalance.parse(self._ask("GET", "/rebalance", "rebalance"))

    def set_rebalance(self, **changes: Unpack[RebalanceChange]) -> Rebalance:
        """Pause, resume or limit moving and mending, for all workers together; it holds within a second.

        Args:
            changes: `paused`, `bytes_per_second`, `concurrency`; None takes a limit away, what is absent stays.
        """
        return Rebalance.parse(self._ask("PATCH", "/rebalance", "rebalance", body=dict(changes)))
