import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.video_processor import VideoProcessor
from PIL import Image

from pipelines.catalog import ModelKey
from pipelines.contract.errors import RenderFailed
from pipelines.pixels import pictures, read_back

KEY = ModelKey.IMAGINE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pictures_are_those_of_diffusers_to_the_last_bit(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    decoded = torch.randn(3, 3, 40, 24).to(dtype)  # some of it beyond black and white
    processor = VaeImageProcessor()
    theirs = processor.postprocess(decoded, output_type="pil")
    ours = pictures(processor.postprocess(decoded, output_type="pt"), KEY)
    assert [picture.size for picture in ours] == [(24, 40)] * 3
    assert _same(ours, theirs)


def test_frames_are_those_of_diffusers() -> None:
    decoded = torch.rand(1, 3, 5, 16, 8) * 2 - 1
    processor = VideoProcessor(vae_scale_factor=8)
    [theirs] = processor.postprocess_video(decoded, output_type="pil")
    [frames] = processor.postprocess_video(decoded, output_type="pt")
    assert _same(pictures(frames, KEY), theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_no_number_is_no_picture_and_others_are(
    dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    decoded = torch.rand(3, 3, 8, 8).to(dtype)
    whole = pictures(decoded, KEY)
    decoded[1, 2, 5, 5] = torch.inf - torch.inf  # as where what overflowed was normed
    first, broken, last = read_back(decoded, KEY)
    assert _same([first.image(), last.image()], [whole[0], whole[2]])
    for look in (broken.image, lambda: broken.png({}), lambda: pictures(decoded, KEY)):
        with pytest.raises(RenderFailed, match=r"no picture: .* another models\.imagine\.dtype"):
            look()
    assert "models.imagine.dtype" in caplog.text  # for the owner


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA here; on a machine with a GPU: pytest -m gpu"
)
def test_pictures_leave_a_card_as_they_were_decoded_whatever_it_does_next() -> None:
    with torch.inference_mode():
        decoded = torch.rand(2, 3, 512, 256)
        there = decoded.cuda()
        torch.cuda._sleep(100_000_000)  # type: ignore[no-untyped-call]  # cycles, before it is read
        leaving = read_back(there, KEY)
        there.zero_()
    assert [(each.width, each.height) for each in leaving] == [(256, 512)] * 2
    assert _same([each.image() for each in leaving], pictures(decoded, KEY))


def _same(ours: list[Image.Image], theirs: list[Image.Image]) -> bool:
    return all(
        np.array_equal(np.asarray(our), np.asarray(their))
        for our, their in zip(ours, theirs, strict=True)
    )
