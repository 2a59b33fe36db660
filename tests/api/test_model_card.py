"""`api.model_card`: one card for every kind of trained model."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.api.model_card import Measure, ModelCard, add_parameters, escape, training_rows
from studio.api.training import TrainingState


def test_a_card_has_tables_and_sections(tmp_path: Path) -> None:
    rows = training_rows("vae.train", TrainingState(step=6000, seconds=754), seed=70_000, parameters=1_234_567)
    card = ModelCard(
        title="Faces",
        summary="An autoencoder.\n",
        rows=rows,
        data={"faces": 1200, "a|b": 3},
        measures=[Measure("PSNR", 31.2468, "dB, more is better"), Measure("Grade", "A")],
        sections={"Prompts": "- a fox\n"},
    )
    assert card.markdown() == (
        "# Faces\n\nAn autoencoder.\n\n"
        "| Training |  |\n| --- | --- |\n| Tool | `vae.train` |\n| Seed | 70000 |\n| Steps | 6,000 |\n"
        "| Training time | 13 min |\n| Parameters | 1,234,567 |\n\n"
        "| Training data | Samples |\n| --- | --- |\n| faces | 1,200 |\n| a\\|b | 3 |\n\n"
        "| Evaluation on held-out data | Value | Meaning |\n| --- | --- | --- |\n"
        "| PSNR | 31.25 | dB, more is better |\n| Grade | A |  |\n\n"
        "## Prompts\n\n- a fox\n"
    )
    card.write(tmp_path)
    assert (tmp_path / "README.md").read_text("utf-8") == card.markdown()


def test_empty_parts_are_left_out() -> None:
    assert ModelCard("A\nB", "Short.").markdown() == "# A B\n\nShort.\n"


SCHEMA = {
    "properties": {
        "folder": {"type": "string", "studio": {"widget": "folder"}},
        "kind": {"enum": ["new", "full"], "default": "new", "studio_more": {"labels": ["New model", "Fine-tuning"]}},
        "steps": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "batch": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "size": {"enum": [64, 128], "default": 64, "studio_more": {"unit": "px"}},
        "flips": {"type": "boolean", "default": True},
        "prompts": {"type": "array", "items": {"type": "string"}, "default": []},
        "title": {"type": "string", "default": ""},
    }
}


def test_all_parameters_are_added_once(tmp_path: Path) -> None:
    ModelCard("Fox", "A model.").write(tmp_path)
    values = {
        "folder": "folder:0123456789abcdef/foxes", "kind": "full", "steps": None, "size": 128, "title": "a *fox* | 1",
        "prompts": [f"<b>{number}</b>" for number in range(12)],
    }  # fmt: skip
    for _ in range(2):
        add_parameters(tmp_path, SCHEMA, values, {"steps": 15_000, "batch": None})
    prompts = ", ".join(f"\\<b\\>{number}\\</b\\>" for number in range(10))
    assert (tmp_path / "README.md").read_text("utf-8") == (
        "# Fox\n\nA model.\n\n## Parameters\n\n| Parameter | Value |\n| --- | --- |\n"
        "| Folder | foxes |\n| Kind | Fine-tuning |\n| Steps | 15,000 (automatic) |\n| Batch | none |\n"
        f"| Size | 128 px |\n| Flips | yes |\n| Prompts | {prompts}, and 2 more |\n| Title | a \\*fox\\* \\| 1 |\n"
    )


def test_a_model_without_a_card_gets_none(tmp_path: Path) -> None:
    add_parameters(tmp_path, SCHEMA, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("- a", "\\- a"), ("12. b", "12\\. b"), ("# c_d", "\\# c\\_d"), ("a\nb", "a b"), ("x-1.5", "x-1.5")],
)
def test_texts_of_the_artist_stay_plain(text: str, escaped: str) -> None:
    assert escape(text) == escaped
