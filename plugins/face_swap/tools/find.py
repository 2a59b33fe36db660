"""The tool that finds and numbers faces."""

from __future__ import annotations

from collections.abc import Iterator

from studio import api

from ..faces import drawing, finder, networks
from ..faces.finder import Face


class FindFaces(api.Tool):
    """Finds the faces of an image, numbers them, and says how each is turned, how large and how sharp it is."""

    id = "face.find"
    title = "Find faces"
    icon = "mdi6.face-recognition"
    live = True

    class Params(api.Params):
        image: api.ImageInput
        """Photo or painting. Small faces are searched in tiles, and the image upside down if there are none."""
        mesh: bool = api.param(False, title="Show mesh")
        """Draws the 468 points of each face."""
        max_faces: int = api.param(finder.MAX_FACES, ge=1, le=finder.MAX_FACES, title="Maximum number", advanced=True)
        """The largest and clearest faces are kept."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import numpy as np

        yield api.Progress(0, 2, "Opening")
        loaded = networks.load_networks(ctx)
        picture = api.images.flatten_alpha(api.images.open_picture(params.image)).convert("RGB")
        yield api.Progress(1, 2, "Searching for faces")
        faces = finder.find_faces(loaded, np.asarray(picture), params.max_faces)
        if not faces:
            yield api.Notice("No face was found.", "warning")
        elif not ctx.draft:
            yield api.Notice(" ".join(describe_face(face) for face in faces))
        drawn = drawing.draw_faces(picture, faces, show_mesh=params.mesh)
        yield api.Image(drawn, notes={"faces": [face.describe() for face in faces]})

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:  # noqa: ARG002
        with api.images.open_undecoded(params.image) as image:
            width, height = image.size
        return api.Estimate(work=1 + width * height / 1e6, rate=self.id)


def describe_face(face: Face) -> str:
    """Return a sentence such as "Face 1: 120 px, turned 20° to the left."."""
    parts = [f"{face.size:.0f} px"]
    if abs(face.pose.yaw) >= 10:
        parts.append(f"turned {abs(face.pose.yaw):.0f}° to the {'right' if face.pose.yaw > 0 else 'left'}")
    if face.sharpness < 0.4:
        parts.append("blurred or small")
    if face.confidence < 0.5:
        parts.append("uncertain")
    elif face.occlusion > 0.3:
        parts.append("partly covered")
    if face.outside > 0.1:
        parts.append("cut by the border")
    return f"Face {face.number}: {', '.join(parts)}."
