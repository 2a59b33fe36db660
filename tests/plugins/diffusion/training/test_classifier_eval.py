"""The classifier that judges paintings, and the tool that asks it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tqdm import tqdm

from plugins.diffusion.tools import evaluate
from plugins.diffusion.tools.evaluate import EvaluateDiffusion
from plugins.diffusion.training import classifier_eval, composites, dataset
from plugins.diffusion.training.captions import COLOURS, Subject
from studio import testing

WORDS = ["red disk", "green disk", "blue disk"]


def pictures() -> dataset.LoadedImages:
    subjects, pixels = [], []
    rows, columns = np.mgrid[:128, :128]
    for word in WORDS:
        made = np.zeros((128, 128, 4), np.uint8)
        made[np.hypot(rows - 64, columns - 64) < 50] = (*COLOURS[word.split()[0]], 255)
        subjects.append(Subject(Path(f"{word}.png"), word, style="noto"))
        pixels.append(made)
    return dataset.LoadedImages(subjects, pixels)


@pytest.fixture(autouse=True)
def _no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress bars, disabled ones too, start a thread that stays."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.fixture(scope="module")
def judge() -> torch.nn.Module:
    everything = pictures()
    learning = classifier_eval.train_classifier(
        everything, classifier_eval.ClassNames.of(everything.subjects), steps=40, batch=16, seed=0, device="cpu"
    )
    while True:
        try:
            next(learning)
        except StopIteration as done:
            return done.value


def as_tensor(images: list[Any]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_names_what_is_painted(judge: torch.nn.Module) -> None:
    everything = pictures()
    items = [dataset.Item("plain", number) for number in range(3)]
    painted = as_tensor([dataset.render_item(item, everything, 128) for item in items])
    asked = [
        classifier_eval.EvalPrompt(word, (number,), item)
        for number, (word, item) in enumerate(zip(WORDS, items, strict=True))
    ]
    assert torch.equal(classifier_eval.render_references(asked, everything), painted)
    assert classifier_eval.top_k_accuracy(judge, painted, asked, 1) == 1.0
    assert classifier_eval.top_k_accuracy(judge, painted, asked[::-1], 1) == pytest.approx(1 / 3)


def test_both_things_must_be_in_their_halves(judge: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier_eval, "PAIR_TOP_K", 1)
    everything = pictures()
    item = dataset.Item("pair", scene=dataset.Scene(0, 2, ""))
    painted = as_tensor([dataset.render_item(item, everything, 128)] * 2)
    asked = [classifier_eval.EvalPrompt("", (0, 2), item), classifier_eval.EvalPrompt("", (2, 0), item)]
    assert classifier_eval.pair_accuracy(judge, painted, asked) == 0.5


def test_one_name_in_two_styles_is_one_class() -> None:
    subjects = [Subject(Path("a"), "Fox", style="fluent"), Subject(Path("b"), "owl"), Subject(Path("c"), "fox")]
    names = classifier_eval.ClassNames.of(subjects)
    assert names.words == ["fox", "owl"]
    assert names.images == [(0, 2), (1,)]


def test_what_is_asked_is_always_the_same() -> None:
    everything = pictures()
    names = classifier_eval.ClassNames.of(everything.subjects)
    asked = classifier_eval.choose_prompts(everything, names, 2)
    assert len(asked) == 2
    assert asked == classifier_eval.choose_prompts(everything, names, 2)
    assert all(one.prompt == f"a {names.words[one.classes[0]]}, flat" for one in asked)


def test_pairs_are_shown_as_they_are_asked_for(judge: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composites, "HOLDOUT_FRACTION", 1.0)
    monkeypatch.setattr(classifier_eval, "PAIR_TOP_K", 1)
    opaque = np.full((128, 128, 3), 255, np.uint8)  # which no pair is made of
    subjects = [Subject(Path("white.png"), "white"), *pictures().subjects]
    everything = dataset.LoadedImages(subjects, [opaque, *pictures().pixels])
    names = classifier_eval.ClassNames.of(pictures().subjects)
    asked = classifier_eval.choose_pair_prompts(everything, names, 3)
    assert len(asked) == 3
    assert all(one.prompt.startswith(f"a {names.words[one.classes[0]]} and a") for one in asked)
    assert classifier_eval.pair_accuracy(judge, classifier_eval.render_references(asked, everything), asked) == 1.0


def test_the_tool_measures_a_real_pipeline(tiny_model: Any, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "disks"
    folder.mkdir()
    everything = pictures()
    for subject, pixels in zip(everything.subjects, everything.pixels, strict=True):
        Image.fromarray(pixels).save(folder / subject.path.name)
    rows = [{"file": one.path.name, "name": one.name, "style": "noto"} for one in everything.subjects]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ctx = testing.FakeContext(seed=7, folder=tmp_path / "job")
    values = {"model": str(tiny_model("stable-diffusion")), "classifier_steps": 2, "batch": 4, "steps": 1, "pairs": 2}
    (text,) = testing.results(testing.run(EvaluateDiffusion, ctx, folder=folder, **values))
    assert "top 5 | 100.0% | 100.0% |" in text.text
    assert ctx.notes["fidelity"]["names"] == 3


def test_keeps_the_rules() -> None:
    testing.check_plugin([EvaluateDiffusion])
    testing.check_light_import("plugins.diffusion.tools.evaluate", [Path(evaluate.__file__).parents[3]])
