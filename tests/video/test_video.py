"""Clips and frames: sound, times and sizes kept, faces that hold still, nothing else touched."""

import runpy
import sys

import av
import moving
import numpy as np
import pytest
import torch
from torch import nn

import snowai
from snowai.analysis import landmark_jitter, warping_error
from snowai.faces import MediaPipeTracker, align, eye_mask
from snowai.filters import FaceFilter
from snowai.image import to_tensor
from snowai.video import FaceTracker, FrameFilter, filter_frames, filter_video
from snowai.video.frames import draw_eyes


class Tint(nn.Module):
    """Paint crops red, where they are bright still; the mask shows in blue."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.ones(()))

    def forward(self, image, mask):
        return torch.cat([image[:, :1] * 0 + self.level, image[:, 1:2] * 0, mask], dim=1)


@pytest.fixture
def red():
    return FaceFilter(Tint(), size=128)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, astronaut):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return moving.write_clip(path, moving.moving_frames(astronaut))


def test_a_clip_keeps_its_sound_times_and_size(clip, red, tmp_path):
    result = filter_video(clip, tmp_path / "new.mp4", red)
    assert (result.frames, result.with_face) == (24, 24)
    before, times = moving.read_clip(clip)
    after, new_times = moving.read_clip(result.path)
    assert new_times == pytest.approx(times, abs=1e-3)
    assert after[0].shape == before[0].shape
    with av.open(str(clip)) as old, av.open(str(result.path)) as new:
        sounds = [
            np.concatenate([f.to_ndarray() for f in file.decode(audio=0)], axis=1)
            for file in (old, new)
        ]
    np.testing.assert_array_equal(*sounds)
    # The face is red now, and the corner as it was but for the encoder.
    faces = [frame[60:120, 120:200].reshape(-1, 3).mean(axis=0) for frame in after]
    assert all(r > 180 and g < 110 for r, g, _ in faces)
    corner = [
        np.abs(a[200:, :60].astype(int) - b[200:, :60]).mean()
        for a, b in zip(after, before, strict=True)
    ]
    assert max(corner) < 4


@pytest.mark.parametrize(("size", "planes"), [((127, 161), "yuv444p"), ((128, 160), "yuv420p")])
def test_odd_sizes_and_silence_pass(astronaut, red, tmp_path, size, planes):
    frames = moving.moving_frames(astronaut, count=3, size=size)
    clip = moving.write_clip(tmp_path / "clip.mkv", frames, tone=False, planes=planes)
    result = filter_video(clip, tmp_path / "new.mov", red, progress=False)
    assert moving.read_clip(result.path)[0][0].shape[:2] == size


def test_colours_survive_decoding_and_encoding(astronaut, tmp_path):
    nothing = FaceFilter(Tint(), size=64)
    frames = moving.moving_frames(astronaut, count=4, noise=0)
    clip = moving.write_clip(tmp_path / "bt709.mp4", frames, colorspace=1, color_range=1)
    filter_video(clip, tmp_path / "new.mp4", nothing, strength=0.0, quality=8)
    before, after = moving.read_clip(clip)[0], moving.read_clip(tmp_path / "new.mp4")[0]
    # FFmpeg's conversions cut off instead of rounding: a level is lost on the way.
    assert abs(np.mean(before, axis=(0, 1, 2)) - np.mean(after, axis=(0, 1, 2))).max() < 2
    assert np.abs(np.subtract(before, after, dtype=np.int32)).mean() < 2


def test_the_targets_that_cannot_be_are_refused(clip, red, tmp_path):
    with pytest.raises(ValueError, match="must end in one of .mp4"):
        filter_video(clip, tmp_path / "new.gif", red)
    with pytest.raises(ValueError, match="the video itself"):
        filter_video(clip, clip, red)
    with pytest.raises(FileNotFoundError, match="no video file"):
        filter_video(tmp_path / "none.mp4", tmp_path / "new.mp4", red)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(snowai.BadImage, match="no video that can be read"):
        filter_video(tmp_path / "text.mp4", tmp_path / "new.mp4", red)
    assert not (tmp_path / "new.mp4").exists()


def test_a_file_with_sound_only_is_refused_and_leaves_nothing(red, tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        wave = np.zeros((1, 16000), np.float32)
        samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        samples.sample_rate = 16000
        file.mux(stream.encode(samples))
        file.mux(stream.encode(None))
    with pytest.raises(snowai.BadImage, match="holds no video"):
        filter_video(tmp_path / "sound.mp4", tmp_path / "new.mp4", red)
    assert [path.name for path in tmp_path.iterdir()] == ["sound.mp4"]


def test_a_torn_clip_is_named_and_leaves_no_half_file(clip, red, tmp_path):
    data = clip.read_bytes()
    (tmp_path / "torn.mp4").write_bytes(data[: len(data) // 3])
    with pytest.raises(snowai.BadImage, match=r"torn\.mp4"):
        filter_video(tmp_path / "torn.mp4", tmp_path / "new.mp4", red)
    assert [path.name for path in tmp_path.iterdir()] == ["torn.mp4"]


@pytest.mark.parametrize("turn", [0, 90, -90, 180])
def test_frames_of_phones_held_upright_are_turned(clip, red, tmp_path, monkeypatch, turn):
    from snowai.video import clips

    class Turned:
        """A frame whose file says how it was held."""

        def __init__(self, frame):
            self.frame, self.rotation = frame, turn

        def __getattr__(self, name):
            return getattr(self.frame, name)

    array = clips._Copier._array
    monkeypatch.setattr(clips._Copier, "_array", lambda self, frame: array(self, Turned(frame)))
    filter_video(clip, tmp_path / "new.mp4", red, strength=0.0)
    before, after = moving.read_clip(clip)[0][0], moving.read_clip(tmp_path / "new.mp4")[0][0]
    wanted = np.rot90(before, turn // 90)
    assert after.shape == wanted.shape
    assert np.abs(after.astype(int) - wanted).mean() < 4


def test_the_frame_path_draws_what_the_photo_path_draws(astronaut):
    toon = FaceFilter.from_pretrained("toon")
    frame = np.asarray(astronaut)
    fast = FrameFilter(toon)(frame, 0.0)
    slow = np.asarray(toon(astronaut).image)
    face = np.abs(fast.astype(int) - slow)[20:200, 150:300]
    assert face.mean() < 3
    assert np.abs(fast.astype(int) - frame)[20:200, 150:300].mean() > 4


def test_crops_are_those_of_align(astronaut, red):
    for photo in (astronaut, astronaut.resize((1600, 1600))):  # The large one is halved first.
        frame = np.asarray(photo)
        path = FrameFilter(red, smooth=False)
        faces = path.find(frame, 0.0)
        crops, _ = path.cut(frame, faces)
        wanted = align(to_tensor(photo)[None], faces[0].matrix[None], 128)
        assert (to_tensor(crops[0]) - wanted[0]).abs().mean() < 0.01


def test_fast_eye_masks_are_the_slow_ones(crop):
    _, face = crop
    mask = np.empty((256, 256), np.float32)
    draw_eyes(face, mask)
    wanted = eye_mask(face.points[None], (256, 256), scheme=face.scheme)[0, 0].numpy()
    near = wanted > 0
    assert np.abs(mask - wanted)[near].mean() < 0.03
    assert np.abs(mask - wanted)[~near].mean() < 1e-3


def test_the_given_frame_is_left_alone_and_the_box_only_is_touched(astronaut, red):
    frame = np.asarray(astronaut).copy()
    before = frame.copy()
    filtered = FrameFilter(red)(frame, 0.0)
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(filtered[400:], before[400:])
    assert (filtered != before).any()


def test_a_frame_without_a_face_passes(red):
    grey = np.full((120, 160, 3), 128, np.uint8)
    np.testing.assert_array_equal(FrameFilter(red)(grey, 0.0), grey)


def test_faces_are_looked_for_in_every_nth_frame(astronaut, red):
    path = FrameFilter(red, landmarks_every=3)
    calls = []
    track = path.landmarker.track

    def counted(frame, seconds):
        calls.append(seconds)
        return track(frame, seconds)

    path.landmarker.track = counted
    for number in range(7):
        path(np.asarray(astronaut), number / 30)
        assert len(path.faces) == 1
    assert calls == [0.0, 3 / 30, 6 / 30]
    with pytest.raises(ValueError, match="landmarks_every must be at least 1"):
        FrameFilter(red, landmarks_every=0)


def test_frames_must_come_in_order(astronaut):
    tracker = MediaPipeTracker()
    tracker.track(np.asarray(astronaut), 1.0)
    with pytest.raises(ValueError, match="Frames must come in order"):
        tracker.track(np.asarray(astronaut), 1.0)


def test_a_webcam_loop_takes_frames_as_they_come(astronaut, red):
    seen = []

    def camera():
        for number in range(100):
            seen.append(number)
            yield np.asarray(astronaut)

    frames = filter_frames(camera(), red)
    next(frames)
    next(frames)
    assert seen == [0, 1]


def jittering(face, count=30):
    chance = torch.Generator().manual_seed(0)
    for _ in range(count):
        noise = torch.randn(face.points.shape, generator=chance) * 0.7
        yield snowai.Landmarks(face.points + noise, face.scheme)


def test_smoothing_stills_a_resting_face(face):
    jitter = {}
    for smooth in (False, True):
        tracker = FaceTracker(256, smooth=smooth)
        found = [tracker([one], n / 30)[0] for n, one in enumerate(jittering(face))]
        assert {tracked.number for tracked in found} == {0}
        corner = torch.tensor([[[10.0, 10.0]]])
        places = [torch.cat([corner[0] @ t.matrix[:, :2].T + t.matrix[:, 2]]) for t in found[5:]]
        jitter[smooth] = (
            landmark_jitter([t.face.points for t in found[5:]]),
            torch.cat(places).std(dim=0).max().item(),
        )
    assert jitter[True][0] < jitter[False][0] / 2
    assert jitter[True][1] < jitter[False][1] / 2


def test_smoothing_follows_a_blink_within_three_frames(face):
    from snowai.faces import close_eyes, eye_openness

    image = torch.rand(1, 3, 512, 512)
    closed = close_eyes(image, face.points[None], 1.0, scheme=face.scheme).points[0]
    tracker = FaceTracker(256)
    openness = []
    for number in range(8):
        points = face.points if number < 4 else closed
        found = tracker([snowai.Landmarks(points, face.scheme)], number / 30)[0]
        openness.append(eye_openness(found.face.points[None], scheme=face.scheme).mean().item())
    full = openness[3]
    target = eye_openness(closed[None], scheme=face.scheme).mean().item()
    assert openness[6] - target < 0.3 * (full - target)


def test_faces_keep_their_numbers_when_they_change_order(face):
    move = torch.tensor([[1.0, 0, 250], [0, 1.0, 0]])
    tracker = FaceTracker(128)
    other = face.transform(move)
    assert [t.number for t in tracker([face, other], 0.0)] == [0, 1]
    assert [t.number for t in tracker([other, face], 0.033)] == [1, 0]
    assert [t.number for t in tracker([face], 0.066)] == [0]
    assert [t.number for t in tracker([face], 5.0)] == [2]  # Long gone: a new face.


def test_a_crop_of_a_moving_face_stays_upon_it(face):
    tracker = FaceTracker(256)
    for number in range(30):
        moved = face.transform(torch.tensor([[1.0, 0, 4.0 * number], [0, 1.0, 0]]))
        tracked = tracker([moved], number / 30)[0]
    middle = moved.transform(tracked.matrix).points.mean(dim=0)
    still = face.transform(snowai.faces.alignment_matrix(face, 256)).points.mean(dim=0)
    assert (middle - still).norm() < 12


def test_smoothed_crops_flicker_less(astronaut):
    # Places come from noisy frames, pixels from the clean one: what differs is the jitter alone.
    toon, clean = FaceFilter.from_pretrained("toon"), np.asarray(astronaut)
    chance = np.random.default_rng(0)
    noisy = [
        np.clip(clean + chance.normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
        for _ in range(12)
    ]
    still = to_tensor(clean).expand(8, -1, -1, -1)
    flicker = {}
    for smooth in (False, True):
        path, drawn = FrameFilter(toon, smooth=smooth), []
        for number, frame in enumerate(noisy):
            faces, picture = path.find(frame, number / 24), clean.copy()
            path.lay(picture, path.run(*path.cut(clean, faces))[0], faces[0].matrix.numpy())
            drawn.append(to_tensor(picture))
        flicker[smooth] = warping_error(torch.stack(drawn[4:]), still)
    assert flicker[True] < 0.7 * flicker[False]


def test_the_webcam_example_runs_until_q(astronaut, monkeypatch):
    import cv2

    class Camera:
        def __init__(self, number):
            assert number == 0

        def read(self):
            return True, np.ascontiguousarray(np.asarray(astronaut)[..., ::-1])

    shown = []
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(cv2, "imshow", lambda _, frame: shown.append(frame))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 2 else -1)
    monkeypatch.setattr(sys, "argv", ["webcam.py"])
    runpy.run_path("examples/webcam.py")
    assert len(shown) == 2
    assert shown[0].shape == (512, 512, 3)
