"""The evaluation with a classifier, and its tool."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.diffusion.tools import evaluate
from plugins.diffusion.tools.evaluate import EvaluateDiffusion
from plugins.diffusion.training import classifier_eval, composites, dataset
from plugins.diffusion.training.captions import COLOURS, Subject
from studio import api, testing

WORDS = ["red disk", "green disk", "blue disk"]


def make_images() -> dataset.LoadedImages:
    subjects, pixels = [], []
    rows, columns = np.mgrid[:128, :128]
    for word in WORDS:
        made = np.zeros((128, 128, 4), np.uint8)
        made[np.hypot(rows - 64, columns - 64) < 50] = (*COLOURS[word.split()[0]], 255)
        subjects.append(Subject(Path(f"{word}.png"), word, style="noto"))
        pixels.append(made)
    return dataset.LoadedImages(subjects, pixels)


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    loaded = make_images()
    training = classifier_eval.train_classifier(
        loaded, classifier_eval.ClassNames.of(loaded.subjects), steps=40, batch=16, seed=0, device="cpu"
    )
    while True:
        try:
            next(training)
        except StopIteration as done:
            trained: torch.nn.Module = done.value
            return trained


def as_tensor(images: list[Any]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_classifier_recognises_its_classes(classifier: torch.nn.Module) -> None:
    loaded = make_images()
    items = [dataset.Item("plain", number) for number in range(3)]
    images = as_tensor([dataset.render_item(item, loaded, 128) for item in items])
    prompts = [
        classifier_eval.EvalPrompt(word, (number,), item)
        for number, (word, item) in enumerate(zip(WORDS, items, strict=True))
    ]
    assert torch.equal(classifier_eval.render_references(prompts, loaded), images)
    assert classifier_eval.compute_top_k_accuracy(classifier, images, prompts, 1) == 1.0
    assert classifier_eval.compute_top_k_accuracy(classifier, images, prompts[::-1], 1) == pytest.approx(1 / 3)


def test_pair_subjects_must_be_in_their_halves(classifier: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_eval, "PAIR_TOP_K", 1)
    loaded = make_images()
    item = dataset.Item("pair", scene=composites.Scene(0, 2, ""))
    images = as_tensor([dataset.render_item(item, loaded, 128)] * 2)
    prompts = [classifier_eval.EvalPrompt("", (0, 2), item), classifier_eval.EvalPrompt("", (2, 0), item)]
    assert classifier_eval.compute_pair_accuracy(classifier, images, prompts) == 0.5


def test_one_name_in_two_styles_is_one_class() -> None:
    subjects = [Subject(Path("a"), "Fox", style="fluent"), Subject(Path("b"), "owl"), Subject(Path("c"), "fox")]
    names = classifier_eval.ClassNames.of(subjects)
    assert names.words == ["fox", "owl"]
    assert names.images == [(0, 2), (1,)]


def test_prompts_are_deterministic() -> None:
    loaded = make_images()
    names = classifier_eval.ClassNames.of(loaded.subjects)
    prompts = classifier_eval.choose_prompts(loaded, names, 2)
    assert len(prompts) == 2
    assert prompts == classifier_eval.choose_prompts(loaded, names, 2)
    assert all(one.prompt == f"a {names.words[one.classes[0]]}, flat" for one in prompts)


def test_references_show_the_prompted_pairs(classifier: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composites, "HOLDOUT_FRACTION", 1.0)
    monkeypatch.setattr(classifier_eval, "PAIR_TOP_K", 1)
    opaque = np.full((128, 128, 3), 255, np.uint8)
    subjects = [Subject(Path("white.png"), "white"), *make_images().subjects]
    loaded = dataset.LoadedImages(subjects, [opaque, *make_images().pixels])
    names = classifier_eval.ClassNames.of(make_images().subjects)
    prompts = classifier_eval.choose_pair_prompts(loaded, names, 3)
    assert len(prompts) == 3
    assert all(one.prompt.startswith(f"a {names.words[one.classes[0]]} and a") for one in prompts)
    assert (
        classifier_eval.compute_pair_accuracy(classifier, classifier_eval.render_references(prompts, loaded), prompts)
        == 1.0
    )


def test_tool_evaluates_a_real_pipeline(tiny_model: Any, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "disks"
    folder.mkdir()
    loaded = make_images()
    for subject, pixels in zip(loaded.subjects, loaded.pixels, strict=True):
        Image.fromarray(pixels).save(folder / subject.path.name)
    rows = [{"file": one.path.name, "name": one.name, "style": "noto"} for one in loaded.subjects]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ctx = testing.FakeContext(seed=7, folder=tmp_path / "job")
    values = {"model": str(tiny_model("stable-diffusion")), "classifier_steps": 2, "batch": 4, "steps": 1, "pairs": 2}
    (text,) = testing.results(testing.run(EvaluateDiffusion, ctx, folder=folder, **values))
    assert isinstance(text, api.Text)
    assert "top 5 | 100.0% | 100.0% |" in text.text
    assert ctx.notes["fidelity"]["names"] == 3


def test_tool_follows_the_conventions() -> None:
    testing.check_plugin([EvaluateDiffusion])
    testing.check_light_import("plugins.diffusion.tools.evaluate", [Path(evaluate.__file__).parents[3]])
