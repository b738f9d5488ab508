"""Files at an effort and at a target, end to end."""

import pytest
from searched import FITTED, smooth_picture, tiny_codec

from trimix.bitstream import Metadata, describe
from trimix.distortion.ssimulacra2 import ssimulacra2_of_pixels
from trimix.encoder.search import find_symbols
from trimix.encoder.targets import TRIALS, Target, TargetKind
from trimix.errors import OutOfReachError, PictureError
from trimix.images import Picture, psnr_db


@pytest.fixture(scope="module")
def codec():
    return tiny_codec(FITTED)


def test_efforts_make_the_files_of_their_symbols(codec):
    picture = smooth_picture(60, 70)
    assert codec.encode(picture, 40) == codec.pack(picture, find_symbols(codec.latents, picture, 40, 2).symbols)
    found = find_symbols(codec.latents, picture, 40, 4)
    encoded = codec.encode_to(picture, 40, 4)
    assert encoded.data == codec.pack(picture, found.symbols)
    assert (encoded.quality, encoded.steps, encoded.ended, encoded.encodings) == (40.0, 2, None, 1)


@pytest.mark.parametrize("effort", [1, 2, 4])
@pytest.mark.parametrize("kind", [TargetKind.BYTES, TargetKind.BITS_PER_PIXEL])
def test_a_size_is_met(codec, effort, kind):
    picture = smooth_picture(150, 120)
    size = 700
    value = size if kind is TargetKind.BYTES else 8 * size / (150 * 120)
    trials = []
    encoded = codec.encode_to(picture, Target(kind, value), effort, on_trial=trials.append)
    assert encoded.is_met
    assert encoded.encodings == len(trials) <= TRIALS
    assert 0.98 * size <= len(encoded.data) <= 1.02 * size
    assert describe(encoded.data).header.quality == encoded.quality * 512
    assert encoded.steps == (2 if effort == 4 else 0)
    assert codec.decode(encoded.data).pixels.shape == (150, 120, 3)


def test_metadata_count(codec):
    picture = smooth_picture(150, 120)
    picture = Picture(picture.pixels, metadata=Metadata(exif=bytes(range(250)) * 8))
    encoded = codec.encode_to(picture, Target(TargetKind.BYTES, 900))
    assert 882 <= len(encoded.data) <= 918


@pytest.mark.parametrize("effort", [1, 2, 4])
def test_a_psnr_is_met(codec, effort):
    picture = smooth_picture(90, 70)
    ends = [psnr_db(picture.pixels, codec.decode(codec.encode(picture, q, 1)).pixels) for q in (1, 100)]
    wanted = (ends[0] + ends[1]) / 2
    encoded = codec.encode_to(picture, Target(TargetKind.PSNR_DB, wanted), effort)
    assert encoded.encodings <= TRIALS
    assert encoded.is_met
    found = psnr_db(picture.pixels, codec.decode(encoded.data).pixels)
    assert found == pytest.approx(encoded.measured)
    assert found == pytest.approx(wanted, abs=0.1)


def test_a_score_is_met(codec):
    picture = smooth_picture(128, 130)
    ends = [ssimulacra2_of_pixels(picture.pixels, codec.decode(codec.encode(picture, q, 1)).pixels) for q in (1, 100)]
    wanted = max(sum(ends) / 2, 1.0)
    encoded = codec.encode_to(picture, Target(TargetKind.SSIMULACRA2, wanted))
    assert encoded.is_met
    found = ssimulacra2_of_pixels(picture.pixels, codec.decode(encoded.data).pixels)
    assert found == pytest.approx(wanted, abs=0.5)


def test_a_score_of_a_small_picture_is_refused(codec):
    with pytest.raises(PictureError, match=r"128 pixels on both sides .* found 130x127"):
        codec.encode_to(smooth_picture(127, 130), Target(TargetKind.SSIMULACRA2, 70))


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (Target(TargetKind.BITS_PER_PIXEL, 0.01), "0.01 bpp is out of reach"),
        (Target(TargetKind.BITS_PER_PIXEL, 9.0), "9 bpp is out of reach"),
        (Target(TargetKind.BYTES, 30), "30 bytes is out of reach"),
        (Target(TargetKind.PSNR_DB, 60.0), "60 dB is out of reach"),
    ],
)
@pytest.mark.parametrize("effort", [2, 5])
def test_out_of_reach_says_what_is_within(codec, target, wanted, effort):
    with pytest.raises(OutOfReachError, match=wanted) as raised:
        codec.encode_to(smooth_picture(60, 70), target, effort)
    message = str(raised.value)
    assert "gllmm-tiny-0 gives" in message
    assert "(quality 1) to" in message
    assert message.endswith("(quality 100)")


def test_a_model_of_one_rate_has_one_size():
    codec, picture = tiny_codec("hyperprior"), smooth_picture(60, 70)
    size = len(codec.encode(picture))
    encoded = codec.encode_to(picture, Target(TargetKind.BYTES, size * 1.01))
    assert (len(encoded.data), encoded.encodings) == (size, 1)
    with pytest.raises(OutOfReachError, match=f"tiny-0 has one rate and gives {size} bytes$"):
        codec.encode_to(picture, Target(TargetKind.BYTES, size * 1.1))


def test_a_model_of_one_rate_is_not_searched_in_vain():
    codec, picture = tiny_codec("hyperprior"), smooth_picture(60, 70)
    size = len(codec.encode(picture))
    steps_seen = []
    with pytest.raises(OutOfReachError):
        codec.encode_to(picture, Target(TargetKind.BYTES, 3 * size), 5, on_step=steps_seen.append)
    assert not steps_seen
    # Near enough for a search, which may go past the target: the fast file is still there then.
    encoded = codec.encode_to(picture, Target(TargetKind.BYTES, size), 5, on_step=steps_seen.append)
    assert len(steps_seen) == 4
    assert encoded.encodings == 2
    assert encoded.is_met


def test_what_only_a_search_reaches_is_reached(codec):
    picture = smooth_picture(150, 120)
    fast, searched = (
        psnr_db(picture.pixels, codec.decode(codec.encode(picture, 100, effort)).pixels) for effort in (2, 6)
    )
    assert searched > fast + 0.2
    target = Target(TargetKind.PSNR_DB, searched)
    encoded = codec.encode_to(picture, target, 6)
    assert (encoded.quality, encoded.measured) == (100.0, searched)
    with pytest.raises(OutOfReachError):
        codec.encode_to(picture, target, 2)


class Interrupting:
    """Raises at the given calls."""

    def __init__(self, *at):
        self.at = at
        self.calls = 0

    def __call__(self, _):
        self.calls += 1
        if self.calls in self.at:
            raise KeyboardInterrupt


def test_an_interrupt_before_the_target_is_met_ends_it(codec):
    with pytest.raises(KeyboardInterrupt):
        codec.encode_to(smooth_picture(60, 70), Target(TargetKind.BYTES, 300), on_trial=Interrupting(1))


def test_an_interrupt_of_its_search_keeps_what_meets_the_target(codec):
    picture = smooth_picture(150, 120)
    target = Target(TargetKind.BYTES, 700)
    encoded = codec.encode_to(picture, target, 7, on_step=Interrupting(2))
    assert encoded.ended == "interrupt"
    assert encoded.is_met
    assert codec.decode(encoded.data).pixels.shape == picture.pixels.shape


class InPack:
    """Ctrl-C in some calls of `pack`, counted from the first step of a search."""

    def __init__(self, codec, monkeypatch, *at):
        self._calls, self._is_armed = Interrupting(*at), False
        original = type(codec).pack

        def pack(codec, *arguments):
            if self._is_armed:
                self._calls(None)
            return original(codec, *arguments)

        monkeypatch.setattr(type(codec), "pack", pack)

    def arm(self, progress):
        self._is_armed = True


@pytest.mark.parametrize("target", [None, Target(TargetKind.BYTES, 700), Target(TargetKind.PSNR_DB, 31.0)])
def test_the_first_interrupt_does_not_prevent_the_file(codec, monkeypatch, target):
    picture = smooth_picture(150, 120)
    on_step = InPack(codec, monkeypatch, 1).arm
    if target is None:
        encoded = codec.encode_to(picture, 40, 4, on_step=on_step)
        assert encoded.data == codec.pack(picture, find_symbols(codec.latents, picture, 40, 4).symbols)
    else:
        encoded = codec.encode_to(picture, target, 4, on_step=on_step)
    assert encoded.ended == "interrupt"
    assert encoded.is_met
    assert codec.decode(encoded.data).pixels.shape == picture.pixels.shape


def test_two_interrupts_prevent_it(codec, monkeypatch):
    on_step = InPack(codec, monkeypatch, 1, 2).arm
    with pytest.raises(KeyboardInterrupt):
        codec.encode_to(smooth_picture(60, 70), 40, 4, on_step=on_step)


def test_a_second_interrupt_ends_it(codec, monkeypatch):
    picture, in_steps = smooth_picture(150, 120), Interrupting(2)
    in_pack = InPack(codec, monkeypatch, 1)

    def interrupt(progress):
        in_pack.arm(progress)
        in_steps(progress)

    with pytest.raises(KeyboardInterrupt):
        codec.encode_to(picture, Target(TargetKind.BYTES, 700), 7, on_step=interrupt)
    assert in_steps.calls == 2


def test_without_time_the_fast_file_meets_the_target(codec):
    encoded = codec.encode_to(smooth_picture(150, 120), Target(TargetKind.BYTES, 700), 9, time_limit_seconds=0.0)
    assert (encoded.ended, encoded.steps) == ("time", 0)
    assert encoded.is_met
