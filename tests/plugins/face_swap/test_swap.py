"""The tool that swaps faces, with consents and labels, as an artist uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.face_swap.tools.swap import SwapFaces
from studio import api, testing
from studio.core import consents
from studio.core.paths import Home
from tests.plugins.face_swap.drawn_faces import draw_face, draw_group


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.png"
    draw_face(300, skin="#8a5a40", eyes="#20a040").save(path)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target.png"
    draw_face(240).save(path)
    return path


HISTORICAL = {"consent": "historical", "who": "A lady"}


def swap(**values: Any) -> list[api.Image]:
    images = testing.results(testing.run(SwapFaces, **values))
    assert all(isinstance(image, api.Image) for image in images)
    return [image for image in images if isinstance(image, api.Image)]


def test_a_swap_needs_a_consent_and_remembers_it(face_home: Home, source: Path, target: Path) -> None:
    with pytest.raises(api.BadInput, match=r"no consent to use the face in source\.png.*studio consents add"):
        swap(source=source, target=target)
    with pytest.raises(api.BadInput, match="Say who"):
        swap(source=source, target=target, consent="given")
    (image,) = swap(source=source, target=target, **HISTORICAL)
    (entry,) = consents.load(face_home)
    assert (entry.who, entry.ground.value, entry.name) == ("A lady", "historical", "source.png")
    assert image.notes["consents"] == [{"id": entry.id, "ground": "historical", "until": ""}]
    assert image.notes["digital_source_type"] == "composite"
    swap(source=source, target=target)
    assert len(consents.load(face_home)) == 1
    consents.revoke(face_home, entry.id)
    for values in ({}, HISTORICAL):
        with pytest.raises(api.BadInput, match="was revoked"):
            swap(source=source, target=target, **values)


def test_the_tool_follows_the_rules(face_home: Home, source: Path, target: Path) -> None:
    testing.check_tool(SwapFaces, {"source": source, "target": target, **HISTORICAL})


def test_faces_that_are_not_named_stay(face_home: Home, source: Path, tmp_path: Path) -> None:
    group = tmp_path / "group.png"
    draw_group(["#d9a58a", "#f0c8b0", "#c08060"], 200).save(group)
    with pytest.raises(api.BadInput, match="3 target faces were found, and no mapping"):
        swap(source=source, target=group, **HISTORICAL)
    (image,) = swap(source=source, target=group, mapping="1>2", label="top left", **HISTORICAL)
    before, after = np.asarray(Image.open(group)), np.asarray(image.picture)
    changed = (before != after).any(-1)[40:]
    assert changed[:, 200:400].any()
    assert not changed[:, :200].any()
    assert not changed[:, 400:].any()
    assert [(one["source"], one["target"]) for one in image.notes["swaps"]] == [(1, 2)]


def test_many_sources_and_targets(face_home: Home, source: Path, target: Path, tmp_path: Path) -> None:
    empty, other = tmp_path / "empty.png", tmp_path / "other.png"
    Image.new("RGB", (50, 50)).save(empty)
    draw_face(200, skin="#c08060").save(other)
    values = {"source": source, "sources": [other], "target": target, "targets": [other, empty], "mapping": "1>1"}
    images = swap(**values, **HISTORICAL)
    assert [image.name for image in images] == ["target", "other"]
    (image,) = swap(source=source, sources=[other], target=target, mapping="2>1", **HISTORICAL)
    assert image.notes["swaps"][0]["source"] == 2
    assert [entry.name for entry in consents.load(face_home)] == ["source.png", "other.png"]


def test_a_face_cannot_be_put_onto_itself_but_onto_another_of_the_image(face_home: Home, tmp_path: Path) -> None:
    group = tmp_path / "group.png"
    draw_group(["#d9a58a", "#8a5a40"], 200).save(group)
    with pytest.raises(api.BadInput, match="onto itself"):
        swap(source=group, target=group, mapping="1>1", **HISTORICAL)
    (image,) = swap(source=group, target=group, mapping="1>2, 2>1", **HISTORICAL)
    assert len(image.notes["swaps"]) == 2


def test_the_label_is_left_out_only_with_a_reason(face_home: Home, source: Path, target: Path) -> None:
    with pytest.raises(api.BadInput, match="only with a reason"):
        swap(source=source, target=target, label="none", **HISTORICAL)
    (plain,) = swap(source=source, target=target, label="none", label_reason="shown with a caption", **HISTORICAL)
    (labelled,) = swap(source=source, target=target)
    assert plain.notes["label_reason"] == "shown with a caption"
    differs = (np.asarray(plain.picture) != np.asarray(labelled.picture)).any(-1)
    assert differs[200:, 120:].any()
    assert not differs[:200].any()


def test_transparency_is_kept(face_home: Home, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut-out.png"
    picture = draw_face(240).convert("RGBA")
    picture.putalpha(Image.new("L", (240, 240), 255))
    picture.paste((0, 0, 0, 0), (0, 0, 240, 10))
    picture.save(path)
    (image,) = swap(source=source, target=path, **HISTORICAL)
    assert np.asarray(image.picture).shape == (240, 240, 4)
    assert np.asarray(image.picture)[:10, :, 3].max() == 0


def test_an_image_without_a_face_is_named(face_home: Home, source: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    Image.new("RGB", (50, 50)).save(empty)
    with pytest.raises(api.BadInput, match=r"No face was found in empty\.png"):
        swap(source=empty, target=source, **HISTORICAL)
    with pytest.raises(api.BadInput, match=r"No face was found in empty\.png"):
        swap(source=source, target=empty, **HISTORICAL)
    assert consents.load(face_home) == []
