"""Numbers that are no colours are refused, by whatever name a pipeline hands them over."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.video_processor import VideoProcessor

from plugins.diffusion.pipeline import output_check
from studio import api


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_each_way_of_handing_over_is_checked(value: float) -> None:
    pipe: Any = SimpleNamespace(image_processor=VaeImageProcessor(), video_processor=VideoProcessor())
    image, video = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 2, 8, 8)
    with output_check.refuse_nan(pipe, "ink"):
        pipe.image_processor.postprocess(image, output_type="pil")
        pipe.video_processor.postprocess_video(video=video, output_type="np")
        image[0, 1, 2, 3] = video[0, 0, 1, 2, 3] = value
        with pytest.raises(api.BadInput, match="ink computed numbers that are no colours"):
            pipe.image_processor.postprocess(image, output_type="pil")
        with pytest.raises(api.BadInput, match="ink computed numbers that are no colours"):
            pipe.video_processor.postprocess_video(video=video, output_type="np")
