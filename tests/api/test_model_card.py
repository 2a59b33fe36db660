"""`api.model_card`: one card for every kind of trained model."""

from __future__ import annotations

from pathlib import Path

from studio.api.model_card import Measure, ModelCard, training_rows
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
