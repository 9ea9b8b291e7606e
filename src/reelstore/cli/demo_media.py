"""Sample videos, made on the spot: moving patterns with sound, as H.264 and AAC in MP4."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000
_AUDIO_FRAME_SAMPLES = 1024
_TAU = 2 * np.pi

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sample video is like.

    Args:
        name: its file name.
        title: for people.
        pattern: one of `PATTERNS`.
        width, height: in pixels, even numbers.
        frame_rate: pictures per second.
        duration_seconds: of picture and sound.
        tone_hz: the pitch of its sound.
    """

    name: str
    title: str
    pattern: str
    width: int
    height: int
    frame_rate: int
    duration_seconds: float
    tone_hz: float


SAMPLES = (
    Sample("waves.mp4", "Waves", "waves", 640, 360, 24, 6.0, 220.0),
    Sample("colour-bars.mp4", "Colour bars", "bars", 854, 480, 25, 4.0, 440.0),
    Sample("orbit.mp4", "Orbit", "orbit", 480, 480, 30, 6.0, 330.0),
    Sample("rings.mp4", "Rings", "rings", 426, 240, 30, 8.0, 277.2),
    Sample("portrait.mp4", "Portrait", "waves", 360, 640, 30, 4.0, 523.3),
)


def sample(number: int) -> Sample:
    """Return the sample of this number, counted from 0; past the last, they come again under other names."""
    chosen = SAMPLES[number % len(SAMPLES)]
    lap = number // len(SAMPLES)
    if lap == 0:
        return chosen
    stem, dot, extension = chosen.name.rpartition(".")
    return Sample(
        name=f"{stem}-{lap + 1}{dot}{extension}",
        title=f"{chosen.title} {lap + 1}",
        pattern=chosen.pattern,
        width=chosen.width,
        height=chosen.height,
        frame_rate=chosen.frame_rate,
        duration_seconds=chosen.duration_seconds + lap,
        tone_hz=chosen.tone_hz * 1.06**lap,
    )


def make(wanted: Sample, path: Path) -> None:
    """Write a sample video, with its index at the front so that it plays while it loads.

    The same sample and the same encoder give the same pictures.

    Raises:
        OSError: the file cannot be written.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=wanted.frame_rate, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = wanted.width, wanted.height, "yuv420p"
        video.codec_context.gop_size = 2 * wanted.frame_rate
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        sound = _sound(wanted)
        played = 0
        for index in range(round(wanted.duration_seconds * wanted.frame_rate)):
            frame = av.VideoFrame.from_ndarray(picture(wanted, index / wanted.frame_rate), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, wanted.frame_rate)
            container.mux(video.encode(frame))
            # Sound follows the picture closely, so that a player needs no large buffer.
            due = round((index + 1) / wanted.frame_rate * SAMPLE_RATE_HZ)
            while played + _AUDIO_FRAME_SAMPLES <= min(due, sound.shape[1]):
                piece = np.ascontiguousarray(sound[:, played : played + _AUDIO_FRAME_SAMPLES])
                heard = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = SAMPLE_RATE_HZ, played, Fraction(1, SAMPLE_RATE_HZ)
                container.mux(audio.encode(heard))
                played += _AUDIO_FRAME_SAMPLES
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def picture(wanted: Sample, time_seconds: float) -> Picture:
    """Draw the picture of one moment: an array of shape (height, width, 3), red, green and blue."""
    across, down = _places(wanted.width, wanted.height)
    turn = time_seconds / wanted.duration_seconds
    drawn = PATTERNS[wanted.pattern](across, down, turn)
    return np.asarray(np.clip(drawn, 0, 1) * 255, dtype=np.uint8)


@lru_cache(maxsize=1)
def _places(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far across and how far down each pixel is, from 0 to 1."""
    across, down = np.meshgrid(np.linspace(0, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    return across, down


def _waves(across: NDArray[np.float32], down: NDArray[np.float32], turn: float) -> NDArray[np.float32]:
    """Let three waves of colour run against each other."""
    return np.stack(
        [
            0.5 + 0.5 * np.sin(_TAU * (3 * across + turn)),
            0.5 + 0.5 * np.sin(_TAU * (2 * down - 2 * turn)),
            0.5 + 0.5 * np.sin(_TAU * (across + down + 3 * turn)),
        ],
        axis=-1,
    )


def _bars(across: NDArray[np.float32], down: NDArray[np.float32], turn: float) -> NDArray[np.float32]:
    """Let the eight colours of the test card walk sideways, above a grey ramp."""
    bar = np.floor((across + turn) % 1 * 8).astype(np.int8)
    bars = np.stack([bar & 2 == 0, bar & 4 == 0, bar & 1 == 0], axis=-1).astype(np.float32) * 0.75
    ramp = np.repeat(across[..., np.newaxis], 3, axis=-1)
    return np.asarray(np.where(down[..., np.newaxis] < 0.8, bars, ramp), dtype=np.float32)


def _orbit(across: NDArray[np.float32], down: NDArray[np.float32], turn: float) -> NDArray[np.float32]:
    """Let a ball go round over a dusk."""
    angle = 2 * _TAU * turn
    distance = np.hypot(across - 0.5 - 0.3 * np.cos(angle), down - 0.5 - 0.3 * np.sin(angle))
    ball = np.clip((0.12 - distance) / 0.01, 0, 1)[..., np.newaxis]
    dusk = np.stack([0.9 - 0.7 * down, 0.3 + 0.1 * down, 0.2 + 0.6 * down], axis=-1)
    return np.asarray(ball * np.array([1.0, 0.95, 0.6]) + (1 - ball) * dusk, dtype=np.float32)


def _rings(across: NDArray[np.float32], down: NDArray[np.float32], turn: float) -> NDArray[np.float32]:
    """Let rings grow from the middle."""
    distance = np.hypot(across - 0.5, down - 0.5)
    return np.stack(
        [0.5 + 0.5 * np.cos(_TAU * (8 * distance - 6 * turn + shift)) for shift in (0.0, 0.08, 0.16)], axis=-1
    )


PATTERNS = {"waves": _waves, "bars": _bars, "orbit": _orbit, "rings": _rings}
"""How to draw: from each pixel's place across and down (0 to 1), and the part of the video that has passed."""


def _sound(wanted: Sample) -> NDArray[np.float32]:
    """Play a tone with its fifth, once a second: an array of shape (1, samples), from -1 to 1."""
    moments = np.arange(round(wanted.duration_seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    fading = np.exp(-3 * (moments % 1))
    tones = np.sin(_TAU * wanted.tone_hz * moments) + 0.5 * np.sin(_TAU * 1.5 * wanted.tone_hz * moments)
    return np.asarray(0.2 * fading * tones, dtype=np.float32)[np.newaxis, :]
