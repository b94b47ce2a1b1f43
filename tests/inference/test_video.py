"""Videos in and out through PyAV, and labelled: frames, their timing and their turning survive."""

import builtins
import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from segattn.inference import files
from segattn.inference.video import Video, VideoWriter
from segattn.model import build_model
from tests import tiny

av = pytest.importorskip("av", reason="needs PyAV: pip install 'segattn[video]'")


def frames(count, size=(38, 54)):
    """Plain frames, ever brighter: what a codec keeps."""
    return [np.full((*size, 3), 20 * number, np.uint8) for number in range(count)]


def clip(path, images, *, rate=Fraction(10), times=None):
    with VideoWriter(path, rate=rate) as writer:
        for number, image in enumerate(images):
            writer.add(image, None if times is None else times[number])
    return path


@pytest.mark.parametrize("size", [(38, 54), (37, 53)], ids=["even", "odd"])
def test_frames_come_back_in_order_with_even_sides(size, tmp_path):
    read = list(Video(clip(tmp_path / "a.mp4", frames(5, size))))
    assert [frame.image.shape for frame in read] == [(38, 54, 3)] * 5
    for number, frame in enumerate(read):
        assert np.abs(frame.image.astype(int) - 20 * number).max() <= 4  # lossy


def test_times_are_kept_also_when_uneven(tmp_path):
    times = [Fraction(0), Fraction(1, 10), Fraction(1, 2), Fraction(3, 5)]
    read = list(Video(clip(tmp_path / "a.mp4", frames(4), times=times)))
    assert [float(frame.time) for frame in read] == pytest.approx([0, 0.1, 0.5, 0.6], abs=1e-3)


def test_frames_without_times_follow_at_the_rate(tmp_path):
    video = Video(clip(tmp_path / "a.mp4", frames(3), rate=Fraction(5)))
    assert [float(frame.time) for frame in video] == pytest.approx([0, 0.2, 0.4], abs=1e-3)
    assert video.num_frames == 3


def test_turned_video_is_read_upright(tmp_path):
    path = tmp_path / "turned.mp4"
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 32:] = 250  # bright on the right
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a turned video")
        stream.set_display_rotation(90)  # counter-clockwise when shown
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    (frame,) = Video(path)
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[:28].mean() > 200  # what was right is above
    assert frame.image[36:].mean() < 50


def test_failed_video_leaves_nothing(tmp_path):
    wrong = [*frames(3), None]  # breaks while the file is open
    with pytest.raises(AttributeError):
        clip(tmp_path / "a.mp4", wrong)
    assert list(tmp_path.iterdir()) == []


def test_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"this frame has \(36, 54\) pixels, the first one \(38, 54\)"):
        clip(tmp_path / "a.mp4", [*frames(1), *frames(1, (36, 54))])


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"a\.mp4: unreadable video"):
        Video(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"b\.mp4: no such video"):
        Video(tmp_path / "b.mp4")
    whole = clip(tmp_path / "c.mp4", frames(3)).read_bytes()
    (tmp_path / "c.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"c\.mp4: (unreadable video|no video in this file)"):
        Video(tmp_path / "c.mp4")


def test_missing_pyav_is_told_with_the_command(tmp_path, monkeypatch):
    path, imported = clip(tmp_path / "a.mp4", frames(1)), builtins.__import__

    def without_av(name, *rest):
        if name == "av":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ValueError, match=r"a\.mp4 is a video, which needs PyAV: pip install 'segattn\[video\]'"):
        Video(path)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(tiny.experiment("ccnet").model, 3).eval()


SETTINGS = files.Settings(class_names=["road", "sky", "tree"], palette=[(250, 0, 0), (0, 250, 0), (0, 0, 250)])


@pytest.mark.parametrize("batch", [1, 3])
def test_video_is_labelled_frame_by_frame_beside_a_legend_of_all_classes(model, batch, tmp_path):
    path, done = clip(tmp_path / "a.mp4", frames(4, (64, 96))), []
    settings = dataclasses.replace(SETTINGS, batch=batch, opacity=1.0)
    (written,) = files.predict_files(
        model, [path], tmp_path / "out", settings, on_frame=lambda *progress: done.append(progress)
    )
    assert written == tmp_path / "out/a-overlay.mp4"
    assert done == {1: [(1, 4), (2, 4), (3, 4), (4, 4)], 3: [(3, 4), (4, 4)]}[batch]
    labelled = list(Video(written))
    assert len(labelled) == 4
    column = files.legend(64, SETTINGS.class_names, SETTINGS.palette)
    shown = labelled[2].image
    assert abs(shown.shape[1] - 96 - column.width) <= 1
    expected = files.label_images(model, [list(Video(path))[2].image])[0].label
    inside = shown[8:56, 8:88].astype(int) - np.asarray(SETTINGS.palette)[expected[8:56, 8:88]]
    assert np.median(np.abs(inside)) < 30  # lossy colours
    assert np.abs(shown[:64, 96 : 96 + column.width].astype(int) - np.asarray(column)[:64]).mean() < 12


def test_damaged_video_among_photos_is_reported(model, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    Image.new("RGB", (54, 38)).save(tmp_path / "b.png")
    errors = []
    overlays = files.predict_files(
        model, files.find_images([tmp_path]), tmp_path / "out", SETTINGS, on_error=lambda *error: errors.append(error)
    )
    assert [path.name for path in overlays] == ["b-overlay.png"]
    assert errors[0][0].name == "a.mp4"
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".mp4"] == []


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile real.mp4\n", "#EXTM3U\n#EXTINF:1,\nreal.mp4\n#EXT-X-ENDLIST\n"]
)
def test_a_list_of_other_files_under_a_videos_name_is_not_followed(text, tmp_path):
    clip(tmp_path / "real.mp4", frames(3))
    (tmp_path / "clip.mp4").write_text(text)
    with pytest.raises(ValueError, match=r"clip\.mp4: unreadable video"):
        Video(tmp_path / "clip.mp4")
