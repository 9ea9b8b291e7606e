"""JSON documents of policies: what goes out, what comes in."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reelstore.domain import policy as domain
from reelstore.domain.errors import InvalidInput
from reelstore.domain.policy import CHUNK_SIZE_BYTES_DEFAULT, PolicyKind
from reelstore.services.policies import PolicyView
from reelstore.web.schemas import Document


class Policy(Document):
    """How chunks are made redundant."""

    name: str = Field(examples=["archive"])
    kind: PolicyKind
    description: str = Field(description="In one word.", examples=["erasure(4, 2)"])
    copies: int | None = Field(description="Full copies of a chunk; null with `erasure`.")
    k: int | None = Field(description="Fragments that make a chunk whole; null with `replicated`.")
    m: int | None = Field(description="Fragments besides; null with `replicated`.")
    copies_min: int = Field(description="Servers that must have acknowledged before a write is.")
    chunk_size_bytes: int
    width: int = Field(description="Servers that keep something of each chunk.")
    losses_tolerated: int = Field(description="How many of them may be lost at once.")
    bytes_per_byte: float = Field(description="What is stored for each byte of video.")
    default: bool = Field(description="Whether it holds for videos that name none.")

    @classmethod
    def of(cls, view: PolicyView) -> Policy:
        """Describe a policy."""
        policy = view.policy
        coded = policy.kind is PolicyKind.ERASURE
        return cls(
            name=policy.name,
            kind=policy.kind,
            description=str(policy),
            copies=None if coded else policy.width,
            k=policy.needed if coded else None,
            m=policy.losses_tolerated if coded else None,
            copies_min=policy.copies_min,
            chunk_size_bytes=policy.chunk_size_bytes,
            width=policy.width,
            losses_tolerated=policy.losses_tolerated,
            bytes_per_byte=policy.width / policy.needed,
            default=view.is_default,
        )


class NewPolicy(BaseModel):
    """A policy to create."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="1 to 63 characters: lower-case letters, digits, '_' and '-'.")
    kind: Literal["replicated", "erasure"]
    copies: int | None = Field(None, description="With `replicated`: full copies of each chunk.")
    k: int | None = Field(None, description="With `erasure`: fragments that make a chunk whole.")
    m: int | None = Field(None, description="With `erasure`: how many more there are.")
    copies_min: int | None = Field(
        None, description="Servers that must acknowledge a write: by default one or none less than all."
    )
    chunk_size_bytes: int = Field(CHUNK_SIZE_BYTES_DEFAULT, description="The size at which a body is cut.")
    default: bool = Field(False, description="Have it hold for videos that name none.")

    def policy(self) -> domain.Policy:
        """Return the policy; raise `InvalidInput` when it makes none."""
        more = {"copies_min": self.copies_min, "chunk_size_bytes": self.chunk_size_bytes}
        if self.kind == "erasure":
            _check_absent(self.kind, copies=self.copies)
            return domain.Policy.erasure(self.name, _given("k", self.k), _given("m", self.m), **more)  # type: ignore[arg-type] # the names and types are those above
        _check_absent(self.kind, k=self.k, m=self.m)
        return domain.Policy.replicated(self.name, _given("copies", self.copies), **more)  # type: ignore[arg-type] # the same


class PolicyPatch(BaseModel):
    """What can be changed about a policy: not the policy itself."""

    model_config = ConfigDict(extra="forbid", strict=True)

    default: Literal[True] = Field(description="Have it hold for videos that name none, in the place of another.")


def _given(field: str, value: int | None) -> int:
    if value is None:
        raise InvalidInput(f"{field} is missing", field=field)
    return value


def _check_absent(kind: str, **fields: int | None) -> None:
    for field, value in fields.items():
        if value is not None:
            raise InvalidInput(f"{field} does not go with the kind {kind}", field=field)
