"""Reading and writing video frames with PyAV (extra `video`): upright, with the original timing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from segattn import records

SUFFIXES = {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"}
_ENCODERS = ("libx264", "libvpx-vp9", "mpeg4")
"""In order of preference; the first one that PyAV's FFmpeg has is used."""
_READ = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,mpegvideo",
    "protocol_whitelist": "file",
}
"""FFmpeg recognises a file by its content: a playlist under a video's name would open other files and addresses."""
_TICKS = 90_000  # per second, as in MPEG streams


def is_video(path: Path) -> bool:
    """Whether the file name has the suffix of a video."""
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video."""

    image: np.ndarray
    """uint8 (H, W, 3), upright."""
    time: Fraction | None
    """Seconds since the first frame; None if the file does not say."""


class Video:
    """A video file; iterating decodes its first video stream.

    Raises:
        ValueError: PyAV is not installed, the file is not a readable video, or, during iteration, it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        av = _av(path)
        if not path.exists():
            raise ValueError(f"{path}: no such video")
        if not path.is_file():  # reading a pipe would block
            raise ValueError(f"{path}: unreadable video (not a regular file)")
        try:
            with av.open(str(path), options=_READ) as container:
                streams = container.streams.video
                if not streams:
                    raise ValueError(f"{path}: no video in this file")
                self.rate = Fraction(streams[0].average_rate or 25)
                self.num_frames: int | None = _frames(streams[0], container)
        except av.FFmpegError as error:
            raise ValueError(f"{path}: unreadable video ({error.strerror})") from None

    def __iter__(self) -> Iterator[Frame]:
        av = _av(self.path)
        try:
            with av.open(str(self.path), options=_READ) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                start: Fraction | None = None
                for frame in container.decode(stream):
                    image = np.rot90(frame.to_ndarray(format="rgb24"), round(getattr(frame, "rotation", 0) / 90))
                    time = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
                    start = time if start is None else start
                    yield Frame(np.ascontiguousarray(image), None if time is None or start is None else time - start)
        except av.FFmpegError as error:
            raise ValueError(f"{self.path}: the video is damaged ({error.strerror})") from None


class VideoWriter:
    """Writes an MP4 of frames of one size; the file appears under its name when it is complete.

    Use it as a context manager; after an exception it leaves no file. Odd sides are padded by repeating the last row or column,
    because the codecs need even ones. Sound is not written.
    """

    def __init__(self, path: Path, *, rate: Fraction) -> None:
        self.path, self.rate = path, rate
        self.stack = ExitStack()
        self.av = _av(path)
        self.container: Any = None
        self.stream: Any = None
        self.last, self.next = -1, 0

    def __enter__(self) -> VideoWriter:
        return self

    def add(self, image: np.ndarray, time: Fraction | None = None) -> None:
        """Append a frame, uint8 (H, W, 3), shown from `time` seconds on; if None, one frame period after the last frame.

        Raises:
            ValueError: the size is not that of the first frame.
        """
        if self.stream is None:
            self._open(image.shape[0], image.shape[1])
        if image.shape[:2] != self.size:
            raise ValueError(f"{self.path}: this frame has {image.shape[:2]} pixels, the first one {self.size}")
        padded = np.pad(image, [(0, extent % 2) for extent in self.size] + [(0, 0)], mode="edge")
        frame = self.av.VideoFrame.from_ndarray(padded, format="rgb24")
        self.last = max(self.next if time is None else round(time * _TICKS), self.last + 1)
        self.next = self.last + max(1, round(_TICKS / self.rate))
        frame.pts, frame.time_base = self.last, Fraction(1, _TICKS)
        self.container.mux(self.stream.encode(frame))

    def _open(self, height: int, width: int) -> None:
        self.size = (height, width)
        temporary = self.stack.enter_context(records.writing(self.path, synced=False))
        self.container = self.av.open(str(temporary), "w", format="mp4")
        self.stack.push(self._close)
        name = next(name for name in _ENCODERS if name in self.av.codec.codecs_available)
        self.stream = self.container.add_stream(name, rate=self.rate)
        self.stream.height, self.stream.width = height + height % 2, width + width % 2
        self.stream.pix_fmt = "yuv420p"
        self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, _TICKS)
        if name == "libx264":
            self.stream.options = {"crf": "20", "preset": "fast"}
        else:
            self.stream.bit_rate = 6_000_000

    def _close(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.container.mux(self.stream.encode(None))
        finally:
            self.container.close()

    def __exit__(self, *raised: Any) -> None:
        self.stack.__exit__(*raised)


def _frames(stream: Any, container: Any) -> int | None:
    """Number of frames, estimated from the duration if the file does not state it."""
    if stream.frames:
        return int(stream.frames)
    if container.duration and stream.average_rate:
        return max(1, round(container.duration / 1_000_000 * stream.average_rate))
    return None


def _av(path: Path) -> ModuleType:
    try:
        import av
    except ImportError:
        raise ValueError(f"{path} is a video, which needs PyAV: pip install 'segattn[video]'") from None
    av.logging.set_level(av.logging.PANIC)  # errors are raised as exceptions
    return av
