"""The tool that applies a style to videos, animations and folders of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from studio import api

from ..image_io import encoder, frames, image16
from ..inference import stylizer
from ..inference.temporal_consistency import TemporalFilter
from .params import StyleParams
from .progress import report_item

if TYPE_CHECKING:
    from ..image_io.frames import Video
    from ..image_io.image16 import RasterImage


class VideoInput(api.Params):
    """The video to stylize."""

    video: api.FileInput | None = api.param(None, accepts=(*frames.ANIMATION_SUFFIXES, *frames.VIDEO_SUFFIXES))
    """A video, or an animated GIF, WebP or PNG."""
    folder: api.FolderInput | None = api.param(None, title="Or a folder of frames")
    """Images that are the frames, in the order of their names."""
    fps: float = api.param(frames.DEFAULT_FPS, ge=0.1, le=frames.MAX_FPS, unit="frames a second", title="Frame rate")
    """Frame rate of a folder of frames. A video keeps its own."""
    steadiness: api.Unit = api.param(0.7, title="Temporal consistency")
    """Reduces flicker where the video itself does not change."""
    sound: bool = api.param(True, title="Keep sound")
    """Copies the sound track of the video. GIF and WebP have none."""


class StyleVideo(api.Tool):
    """Applies a style to a video, frame by frame, without flicker."""

    id = "style.video"
    title = "Style a video"
    output = "animation"
    icon = "mdi6.movie-filter-outline"
    pausable = True

    class Params(StyleParams, VideoInput):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Opening the video")
        styles = params.load_styles(ctx)
        video = _open_video(params, ctx)
        stylized = _stylize_frames(ctx, video, styles, params)
        yield api.Animation(stylized, fps=video.fps, sound=video.sound if params.sound else None)


def _open_video(params: VideoInput, ctx: api.Context) -> Video:
    if params.video is not None and params.folder is None:
        return frames.open_video(params.video)
    if params.folder is not None and params.video is None:
        return frames.open_frame_folder(params.folder, params.fps, lambda text: ctx.emit(api.Notice(text, "warning")))
    raise api.BadInput("Either a video or a folder of frames is needed.", "Choose one of them.")


def _stylize_frames(
    ctx: api.Context, video: Video, styles: Sequence[stylizer.WeightedStyle], params: StyleVideo.Params
) -> Iterator[api.Frame]:
    """Yield the stylized frames. Each is saved, so that a job that was stopped resumes after the last one."""
    options = params.to_options(draft=ctx.draft)
    temporal_filter = TemporalFilter(params.steadiness)
    number = 0
    for number, timed in enumerate(video.frames(), 1):
        frame = _to_8_bit(timed.image)
        path = ctx.checkpoint_dir / f"frame-{number:06d}.png"
        total = max(video.count, number) if video.count else 0
        if path.is_file():
            result = image16.open_image(path)
            temporal_filter.resume_after(frame.resize(result.size).rgb, result.rgb)
        else:
            api.pause_if_requested(ctx)
            report_progress = report_item(ctx, number - 1, total, f"Restyling frame {number}")
            result = stylizer.stylize_image(ctx, styles, frame, options, report_progress)
            filtered = temporal_filter.filter_frame(frame.resize(result.size).rgb, result.rgb)
            result = replace(result, rgb=filtered)
            # Without its profile, so that the frame has the same values when it is read again.
            encoder.save_image(path, replace(result, profile=b""))
        ctx.emit(api.Progress(number, total, f"Frame {number}"))
        yield api.Frame(result.to_array(), timed.seconds)
    if not number:
        raise api.BadInput("The video has no frames that can be read.", "Choose another.")


def _to_8_bit(image: RasterImage) -> RasterImage:
    if image.max_value == 255:
        return image
    alpha = None if image.alpha is None else (image.alpha // 257).astype("uint8")
    return replace(image, rgb=(image.rgb // 257).astype("uint8"), alpha=alpha)
