"""The rules of the storage protocol, each of which can be taken away.

The protocol is safe with all of them. A rule that could be taken away without a violation would not be worth
its code, so the tests take each away in turn and demand that the model finds the schedule that breaks it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which rules hold. The numbers refer to the rules of the design's section on the storage protocol."""

    reference_before_bytes: bool = True
    """The chunk's row and the file's reference to it are committed before a byte is sent or relied on (1)."""

    chunk_id_in_name: bool = True
    """A shard's name holds the id of the chunk's row, which is never used again (2)."""

    tenure_in_name: bool = True
    """A shard's name holds the tenure of its server, drawn when the server entered the row (2)."""

    tenure_drawn_in_apply: bool = True
    """Tenures follow from the synced row at the time of the apply transaction, not of the plan (2, 11)."""

    random_handoff_name: bool = True
    """A handoff's shard has a fresh random tenure for each write (2)."""

    confirm_under_newest_ring: bool = True
    """A confirm is refused unless the newest ring was used; the gateway then places the bytes again (3)."""

    file_still_open: bool = True
    """A confirm is refused when the open file has expired (3)."""

    stat_at_dedup: bool = True
    """A chunk that is stored already is looked at, and filled up, before it counts (4)."""

    atomic_collection: bool = True
    """Collecting a row, and purging a file, is one conditional statement each (5)."""

    row_dropped_at_once: bool = True
    """Collecting drops the row first; no state `deleting` waits for the servers (5)."""

    gateways_never_delete: bool = True
    """A gateway whose upload fails leaves the bytes to the workers (6)."""

    list_then_metadata: bool = True
    """A worker reads the metadata after it has listed the servers (6)."""

    delete_only_listed: bool = True
    """A worker deletes only names of its own listing (6)."""

    version_compare_and_swap: bool = True
    """Synced is recorded only if the partition's version is still the one read before the listing (7)."""

    apply_raises_version: bool = True
    """Apply raises the version of a partition whose row it changes (7)."""

    synced_needs_a_listing: bool = True
    """Synced is never advanced without a listing, not even for a row that looks unchanged (7)."""

    retry_of_a_miss: bool = True
    """A miss is final only if neither ring nor partition changed during the whole pass (8)."""

    everything_seen_again: bool = True
    """Each partition is reconciled again from time to time, also when nothing says that it is needed (10)."""

    def without(self, *names: str) -> Rules:
        """Return the same rules with those of the given names taken away.

        Raises:
            TypeError: A name is not a rule's. Trying again cannot help.
        """
        return replace(self, **dict.fromkeys(names, False))


ALL_RULES = Rules()
RULE_NAMES = tuple(field.name for field in fields(Rules))
