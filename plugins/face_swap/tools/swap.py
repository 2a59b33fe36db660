"""The tool that puts faces onto other faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio import api

from ..faces import finder, networks
from ..faces.finder import Face
from ..swapping import checks, label, mapping
from ..swapping import swap as swapping
from ..swapping.blending import BlendMethod
from ..swapping.colour import ColourMethod

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..faces.networks import FaceNetworks

SOURCE_TYPE = "composite"
"""IPTC digital source type: parts of images are put together, and no pixel comes from a learned model."""


@dataclass(frozen=True)
class FoundFace:
    """A source face and the image that it is in."""

    path: Path
    image: NDArray[np.uint8]
    face: Face


class SwapFaces(api.Tool):
    """Puts the face of one image onto a face of another. It needs a consent for each source image."""

    id = "face.swap"
    title = "Swap faces"
    icon = "mdi6.swap-horizontal"

    class Params(api.Params):
        field_order = (
            "source",
            "target",
            "consent",
            "who",
            "mapping",
            "strength",
            "colours",
            "blending",
            "keep_eyes",
            "keep_mouth",
            "texture",
        )
        source: api.ImageInput = api.param(title="Source face")
        """Image of the face to take."""
        target: api.ImageInput = api.param(title="Target image")
        """Image in which a face is replaced."""
        consent: Literal["listed", "self", "given", "historical", "invented"] = api.param(
            "listed",
            labels=("From the list", "It is me", "The person agreed", "Historical portrait", "Invented person"),
        )
        """Why the source face may be used. It is noted in the list of consents, for this image."""
        who: str = api.param("", title="Who it is")
        """Name of the person whose face is taken."""
        until: str = api.param("", title="Consent until", advanced=True)
        """Last day of the consent as YYYY-MM-DD; empty for no end."""
        sources: list[api.ImageInput] = api.param([], max_items=20, title="More sources")
        """Images of further source faces. Their numbers follow those of the first image."""
        targets: list[api.ImageInput] = api.param([], max_items=100, title="More targets")
        """Further images to change, with the same mapping."""
        mapping: str = api.param("", title="Mapping")
        """Which source face goes onto which target face, such as “1>2, 2>1”. Faces that are not named stay as they are.
        Not needed if there is one of each."""
        mirror: Literal["auto", "never"] = api.param("auto", labels=("If it fits better", "Never"), advanced=True)
        """Uses the mirror image of a source face that is turned the other way."""
        colours: ColourMethod = api.param("covariance", labels=("Mean and contrast", "Histogram", "As they are"))
        """Fits the colours of the skin to the target."""
        blending: BlendMethod = api.param("multiband", labels=("Multi-band", "Poisson", "Soft edge"))
        """How the face is blended in."""
        strength: api.Unit = 1.0
        """At 0 the target stays as it is."""
        keep_eyes: bool = False
        """Keeps the eyes of the target."""
        keep_mouth: bool = False
        """Keeps the inner mouth of the target."""
        texture: api.Unit = 0.0
        """Takes the finest detail, such as brush strokes or grain, from the target."""
        erode: float = api.param(0.12, ge=0.0, le=0.5, step=0.01, advanced=True, title="Inset of the edge")
        """Distance of the edge from the outline of the face, relative to the distance of the eyes."""
        feather: float = api.param(0.08, ge=0.0, le=0.5, step=0.01, advanced=True, title="Softness of the edge")
        """Relative to the distance of the eyes."""
        label: Literal["bottom right", "bottom left", "top right", "top left", "none"] = api.param(
            "bottom right", labels=("Bottom right", "Bottom left", "Top right", "Top left", "None"), advanced=True
        )
        """Corner of the visible label “AI modified”."""
        label_reason: str = api.param("", title="Reason for no label", advanced=True)
        """Needed to leave out the label; it is written into the recipe."""

        def to_options(self) -> swapping.SwapOptions:
            return swapping.SwapOptions(
                colours=self.colours,
                blending=self.blending,
                strength=self.strength,
                erode=self.erode,
                feather=self.feather,
                keep_eyes=self.keep_eyes,
                keep_mouth=self.keep_mouth,
                texture=self.texture,
            )

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        total = len(params.sources) + len(params.targets) + 2
        yield api.Progress(0, total, "Opening")
        wanted = mapping.parse_mapping(params.mapping)
        if params.label == "none" and not params.label_reason.strip():
            raise api.BadInput("The label is left out only with a reason.", "Write the reason, or choose a corner.")
        loaded = networks.load_networks(ctx)
        sources = _find_sources(loaded, [params.source, *params.sources])
        yield api.Progress(len(params.sources) + 1, total, "Searching for faces")
        targets = [params.target, *params.targets]
        failed = 0
        for number, path in enumerate(targets, 1):
            try:
                yield from self._swap_target(params, ctx, loaded, sources, wanted, path, len(targets) > 1)
            except api.BadInput as error:
                if len(targets) == 1:
                    raise
                failed += 1
                yield api.Notice(f"{path.name}: {error}", "warning")
            yield api.Progress(len(params.sources) + 1 + number, total)
        if failed == len(targets):
            raise api.BadInput("No face was swapped in any of the images.", "Choose others.")

    def _swap_target(
        self,
        params: Params,
        ctx: api.Context,
        loaded: FaceNetworks,
        sources: Sequence[FoundFace],
        wanted: list[tuple[int, int]],
        path: Path,
        is_one_of_many: bool,
    ) -> Iterator[api.Event]:
        import numpy as np
        from PIL import Image

        picture = api.images.open_picture(path)
        image = _to_rgb(picture)
        faces = finder.find_faces(loaded, image)
        if not faces:
            raise api.BadInput(f"No face was found in {path.name}.", "Choose another target.")
        pairs = mapping.choose_pairs(wanted, len(sources), len(faces))
        if any(_is_same(sources[source - 1], path, faces[target - 1]) for source, target in pairs):
            raise api.BadInput(f"A face of {path.name} is to be put onto itself.", "Choose another image or mapping.")
        used = list(dict.fromkeys(sources[source - 1].path for source, _ in pairs))
        consents = [_require_consent(params, ctx, one) for one in used]
        result, reports, refusals = image, [], []
        for source, target in pairs:
            ctx.check_cancelled()
            found = _choose_side(loaded, sources[source - 1], faces[target - 1], params.mirror == "auto")
            check = checks.check_pair(found.face, found.image, faces[target - 1], image)
            if check.refusal:
                refusals.append(f"Face {source} onto face {target}: {check.refusal}")
                continue
            points = faces[target - 1].points
            result = swapping.swap_face(result, points, found.image, found.face.points, params.to_options())
            is_mirrored = found.image is not sources[source - 1].image
            reports.append({"source": source, "target": target, "mirrored": is_mirrored, **check.describe()})
        if not reports:
            raise api.BadInput(" ".join(refusals), "Choose another pair of images.")
        for refusal in refusals:
            yield api.Notice(refusal, "warning")
        if text := _describe_reports(reports):
            yield api.Notice(text)
        swapped = Image.fromarray(result)
        if "A" in picture.getbands():
            swapped.putalpha(picture.getchannel("A"))
        if params.label != "none":
            swapped = label.draw_label(swapped, params.label)
        notes: dict[str, Any] = {
            "digital_source_type": SOURCE_TYPE,
            "consents": [{"id": one.id, "ground": one.ground.value, "until": one.until} for one in consents],
            "swaps": reports,
        }
        if params.label == "none":
            notes["label_reason"] = params.label_reason.strip()
        yield api.Image(np.asarray(swapped), name=path.stem if is_one_of_many else "", notes=notes)

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:  # noqa: ARG002
        return api.Estimate(work=2 + len(params.sources) + len(params.targets), rate=self.id)


def _find_sources(loaded: FaceNetworks, paths: Sequence[Path]) -> list[FoundFace]:
    found = []
    for path in paths:
        image = _to_rgb(api.images.open_picture(path))
        faces = finder.find_faces(loaded, image)
        if not faces:
            raise api.BadInput(f"No face was found in {path.name}.", "Choose another source.")
        found += [FoundFace(path, image, face) for face in faces]
    return found


def _is_same(source: FoundFace, path: Path, target: Face) -> bool:
    return source.path == path and (source.face.left, source.face.top) == (target.left, target.top)


def _choose_side(loaded: FaceNetworks, source: FoundFace, target: Face, may_mirror: bool) -> FoundFace:
    """Return the source, or its mirror image if that is turned more like the target. The mesh is computed again."""
    if not (may_mirror and checks.prefers_mirror(source.face, target)):
        return source
    import numpy as np

    mirrored = np.ascontiguousarray(source.image[:, ::-1])
    width = mirrored.shape[1]
    center = width - 1 - (source.face.left + source.face.right) / 2, (source.face.top + source.face.bottom) / 2
    for face in finder.find_faces(loaded, mirrored):
        if face.left <= center[0] <= face.right and face.top <= center[1] <= face.bottom:
            return FoundFace(source.path, mirrored, face)
    return source


def _require_consent(params: SwapFaces.Params, ctx: api.Context, path: Path) -> api.Consent:
    if params.consent == "listed":
        return ctx.consents.require(path)
    if not params.who.strip():
        raise api.BadInput("Say who the source face is.", "The name goes into the list of consents.")
    return ctx.consents.note(path, who=params.who, ground=api.Ground(params.consent), until=params.until)


def _describe_reports(reports: Sequence[dict[str, Any]]) -> str:
    """Return a sentence for each pair that has something to say."""
    sentences = []
    for report in reports:
        reasons = [*report["reasons"], *(["the source is mirrored"] if report["mirrored"] else [])]
        if reasons:
            pair = f"Face {report['source']} onto face {report['target']}"
            sentences.append(f"{pair} (score {report['score']} of 100): {', '.join(reasons)}.")
    return " ".join(sentences)


def _to_rgb(picture: Any) -> NDArray[np.uint8]:
    import numpy as np

    return np.asarray(api.images.flatten_alpha(picture).convert("RGB"), np.uint8)
