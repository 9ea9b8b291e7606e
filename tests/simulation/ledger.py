"""What the clients were told: which videos there must be, may be, and must not be, and with which bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What can be true of a video."""

    ABSENT = "absent"
    STORED = "stored"
    TRASHED = "trashed"


@dataclass(eq=False)
class Known:
    """A video as its clients know it: several fates are possible while an answer is missing."""

    name: str
    content: bytes
    video_id: str | None = None
    fates: set[Fate] = field(default_factory=lambda: {Fate.ABSENT})
    changes: int = 0
    changing: int = 0
    _overlapped: bool = False

    @property
    def is_certain(self) -> bool:
        """Say whether it is stored whatever happened, and nobody is changing that."""
        return self.fates == {Fate.STORED} and not self.changing

    def begin(self, fate: Fate) -> None:
        """Note that somebody asks for a change."""
        self.fates.add(fate)
        self.changes += 1
        self.changing += 1
        self._overlapped |= self.changing > 1

    def answer(self, fate: Fate, video_id: str | None = None) -> None:
        """Note that a change was acknowledged; one that overlapped may have come before it or after."""
        self.video_id = self.video_id or video_id
        if fate is Fate.ABSENT or not self._overlapped:
            self.fates = {fate}  # what was purged stays so
        self.unanswered()

    def unanswered(self) -> None:
        """Note that nobody knows what became of a change."""
        self.changing -= 1
        self._overlapped &= self.changing > 0


class Ledger:
    """Keep all that clients know."""

    def __init__(self) -> None:
        self.videos: dict[str, Known] = {}

    def new(self, content: bytes) -> Known:
        known = Known(f"video-{len(self.videos) + 1}", content)
        self.videos[known.name] = known
        return known

    def having(self, *fates: Fate) -> list[Known]:
        """Return the videos with an id that may be one of these."""
        return [known for known in self.videos.values() if known.video_id and not known.fates.isdisjoint(fates)]

    def compare(self, found: dict[str, tuple[str, Fate]]) -> str | None:
        """Say what is wrong, when nothing is under way, with what the metadata has by name: each video's id and fate.

        From then on it is certain.
        """
        for name, known in self.videos.items():
            video_id, fate = found.get(name, (None, Fate.ABSENT))
            if fate not in known.fates:
                return f"{name} is {fate}, and should be {' or '.join(sorted(known.fates))}"
            if known.video_id is not None and video_id not in {None, known.video_id}:
                return f"{name} has another id"
            known.video_id = known.video_id or video_id
            known.fates = {fate}
        unknown = sorted(found.keys() - self.videos.keys())
        return f"nobody stored {unknown}" if unknown else None
