"""The small configurations that are explored exhaustively, with all rules and with one rule taken away."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from tests.model.state import Change, Configuration, Violation

AWAY = Change((2, 3))
"""Every copy moves to the two servers that had none."""
BACK = Change((0, 1))
ONE_UPLOAD = (("x",),)
TWO_UPLOADS = (("x",), ("x",))

SMALL = {
    "dedup against collection": Configuration(uploads=ONE_UPLOAD, purge=1, collect=1),
    "dedup against collection, retry": Configuration(uploads=TWO_UPLOADS, purge=1, collect=1, expire=1),
    "upload against reconcile": Configuration(preloaded=False, uploads=ONE_UPLOAD, changes=(AWAY,), reconcile=1),
    "stale gateway and removal": Configuration(
        preloaded=False, uploads=ONE_UPLOAD, changes=(Change((2, 3), drained=0),), reconcile=1, remove=1
    ),
    "handoff against reconcile": Configuration(preloaded=False, uploads=ONE_UPLOAD, down=1, reconcile=1),
    "revert, two workers": Configuration(changes=(AWAY, BACK), reconcile=2),
    "reader during a move": Configuration(changes=(AWAY,), reconcile=1, read=1),
    "dedup after a lost disk": Configuration(uploads=ONE_UPLOAD, wipe=1, reconcile=1),
    "stale listing, upload": Configuration(preloaded=False, uploads=ONE_UPLOAD, changes=(AWAY,), reconcile=1, stale=1),
    "stale listing, revert": Configuration(changes=(AWAY, BACK), reconcile=2, stale=1),
    "duplicated message, revert": Configuration(changes=(AWAY, BACK), reconcile=2, duplicate=1),
    "duplicated message, dedup, collection": Configuration(
        uploads=ONE_UPLOAD, purge=1, collect=1, duplicate=1, reconcile=1
    ),
    "purge during a move": Configuration(changes=(AWAY,), reconcile=1, purge=1, collect=1),
    "three copies, upload against reconcile": Configuration(
        copies=3, preloaded=False, uploads=ONE_UPLOAD, changes=(Change((1, 2, 3)),), reconcile=1
    ),
    "three copies, one server down": Configuration(copies=3, preloaded=False, uploads=ONE_UPLOAD, down=1, reconcile=1),
    "three copies, dedup after a lost disk": Configuration(copies=3, uploads=ONE_UPLOAD, wipe=1, reconcile=1),
}
"""Seconds each."""

LARGE = {
    "orphan against retry": Configuration(preloaded=False, uploads=TWO_UPLOADS, expire=1, collect=1, reconcile=1),
    "upload, one change, two reconciles": Configuration(
        preloaded=False, uploads=ONE_UPLOAD, changes=(AWAY,), reconcile=2
    ),
    "upload, drain, two reconciles, removal": Configuration(
        preloaded=False, uploads=ONE_UPLOAD, changes=(Change((1, 2), drained=0),), reconcile=2, remove=1
    ),
    "dedup, purge, collection, change, reconcile": Configuration(
        uploads=ONE_UPLOAD, changes=(AWAY,), reconcile=1, purge=1, collect=1
    ),
    "handoff, time-out, reconcile": Configuration(preloaded=False, uploads=ONE_UPLOAD, down=1, reconcile=1, timeout=1),
    "three changes, two reconciles, reader": Configuration(changes=(AWAY, BACK, Change((1, 2))), reconcile=2, read=1),
}
"""Up to half a minute and 300 MB of memory each."""


class Ablation(NamedTuple):
    """A configuration in which something must break without a rule, and what."""

    configuration: Configuration
    kind: str

    def is_proved_by(self, violation: Violation | None) -> bool:
        """Return whether it is a violation of the kind that must be found."""
        return violation is not None and violation.kind == self.kind


_EMPTY = Configuration(preloaded=False, uploads=ONE_UPLOAD)
_STORED = Configuration(uploads=ONE_UPLOAD)

ABLATIONS = {
    "reference_before_bytes": Ablation(replace(_EMPTY, changes=(AWAY,), reconcile=1, only_loss=True), "LOSS"),
    "chunk_id_in_name": Ablation(replace(_STORED, purge=1, collect=1, only_loss=True), "LOSS"),
    "tenure_in_name": Ablation(Configuration(changes=(AWAY, BACK), reconcile=2, only_loss=True), "LOSS"),
    "tenure_drawn_in_apply": Ablation(Configuration(changes=(AWAY, BACK), reconcile=2, only_loss=True), "LOSS"),
    "confirm_under_newest_ring": Ablation(
        replace(_EMPTY, changes=(Change((2, 3), drained=0),), reconcile=1, remove=1), "below copies_min"
    ),
    "file_still_open": Ablation(replace(_EMPTY, expire=1, collect=1), "dangling"),
    "stat_at_dedup": Ablation(replace(_STORED, wipe=1, reconcile=1), "below copies_min"),
    "atomic_collection": Ablation(replace(_STORED, purge=1, collect=1), "dangling"),
    "gateways_never_delete": Ablation(replace(_EMPTY, uploads=TWO_UPLOADS, expire=1, only_loss=True), "LOSS"),
    "list_then_metadata": Ablation(replace(_EMPTY, reconcile=1, only_loss=True), "LOSS"),
    "delete_only_listed": Ablation(replace(_EMPTY, reconcile=1, only_loss=True), "LOSS"),
    "version_compare_and_swap": Ablation(replace(_EMPTY, down=1, reconcile=1), "LIE"),
    "apply_raises_version": Ablation(replace(_EMPTY, changes=(AWAY, BACK), reconcile=1), "LIE"),
    "synced_needs_a_listing": Ablation(replace(_EMPTY, changes=(AWAY, BACK)), "LIE"),
    "retry_of_a_miss": Ablation(Configuration(changes=(AWAY,), reconcile=1, read=1), "unreadable"),
    "everything_seen_again": Ablation(Configuration(wipe=1), "not healed"),
}
"""By rule. For the two that are missing here there are hand-made schedules in `scenarios`."""
