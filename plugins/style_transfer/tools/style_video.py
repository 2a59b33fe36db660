"""Films and animations, painted in a style."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from studio import api

from ..image_io import encoder, image16
from ..image_io import frames as films
from ..inference import stylizer
from ..inference.temporal_consistency import Steadied

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..image_io.frames import Film
    from ..image_io.image16 import Picture


class Moving(api.Params):
    """What moves."""

    video: api.FileInput | None = api.param(None, accepts=(*films.MOVING, *films.FILMS))
    """A film, or an animated GIF or WebP."""
    folder: api.FolderInput | None = api.param(None, title="Or a folder of frames")
    """Pictures that are shown in the order of their names."""
    fps: float = api.param(films.FPS, ge=0.1, le=films.MOST_FPS, unit="frames a second", title="Frame rate")
    """Of a folder of frames. A video keeps its own."""
    steadiness: api.Unit = api.param(0.7)
    """How much flicker is taken out, where the film itself does not change."""
    sound: bool = api.param(True, title="Keep the sound")
    """Takes the sound of the video along. GIF and WebP have none."""


class StyleVideo(api.Tool):
    """Paints a video in a style, frame by frame, without flicker."""

    id = "style.video"
    title = "Style a video"
    output = "animation"
    icon = "mdi6.movie-filter-outline"
    pausable = True

    class Params(stylizer.Painter, Moving):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Opening the video")
        chosen = stylizer.styles(ctx, params)
        film = _opened(params, ctx)
        frames = _painted(ctx, film, chosen, params)
        yield api.Animation(frames, fps=film.fps, sound=film.sound if params.sound else None)


def _opened(params: StyleVideo.Params, ctx: api.Context) -> Film:
    if params.video is not None and params.folder is None:
        return films.opened(params.video)
    if params.folder is not None and params.video is None:
        return films.of_folder(params.folder, params.fps, lambda text: ctx.emit(api.Notice(text, "warning")))
    raise api.BadInput("Either a video or a folder of frames is needed.", "Choose one of them.")


def _painted(
    ctx: api.Context, film: Film, chosen: list[stylizer.Share], params: StyleVideo.Params
) -> Iterator[NDArray[Any]]:
    """Each frame is kept, so that a job that was stopped goes on behind the last one."""
    steadied = Steadied(params.steadiness)
    number = 0
    for number, frame in enumerate(map(_shallow, film.frames()), 1):
        kept = ctx.checkpoint_dir / f"frame-{number:06d}.png"
        total = max(film.count, number) if film.count else 0
        if kept.is_file():
            done = image16.opened(kept)
            steadied.resume(frame.scaled(done.size).rgb, done.rgb)
        else:
            if ctx.pause_requested:
                raise api.Paused
            made = stylizer.painted(ctx, chosen, frame, params, _told(ctx, number, total))
            done = replace(made, rgb=steadied.next(frame.scaled(made.size).rgb, made.rgb))
            encoder.save(kept, replace(done, profile=b""))  # as it is, so that it is the same when it is read again
        ctx.emit(api.Progress(number, total, f"Frame {number}"))
        yield done.array()
    if not number:
        raise api.BadInput("The video has no frames that can be read.", "Choose another.")


def _told(ctx: api.Context, number: int, total: int) -> stylizer.Tick:
    return lambda share: ctx.emit(api.Progress(number - 1 + share, total, f"Painting frame {number}"))


def _shallow(picture: Picture) -> Picture:
    """With 8 bits a channel, as animations have."""
    if picture.top == 255:
        return picture
    alpha = None if picture.alpha is None else (picture.alpha // 257).astype("uint8")
    return replace(picture, rgb=(picture.rgb // 257).astype("uint8"), alpha=alpha)
