"""What both implementations must agree on to keep JSON alike."""

from __future__ import annotations

import json
from collections.abc import Mapping


def as_kept(document: Mapping[str, object]) -> dict[str, object]:
    """Return a document as it comes back from JSON: a copy, with lists where there were tuples.

    Raises:
        TypeError: something in it is not JSON.
        ValueError: a number in it is infinite, or not a number.
    """
    kept: dict[str, object] = json.loads(json.dumps(dict(document), allow_nan=False))
    return kept
