"""Measure how often a model paints what it is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints.families import Task
from ..models import loader
from ..training import classifier_eval, dataset
from . import train

if TYPE_CHECKING:
    from torch import Tensor, nn


class EvaluateDiffusion(api.Tool):
    """Says how often what a model paints can be recognised, by a classifier that knows your pictures alone."""

    id = "diffusion.measure"
    title = "Measure a model"
    output = "text"
    lane = "training"
    icon = "mdi6.ruler"

    class Params(api.Params):
        folder: api.FolderInput
        """The pictures with words that the model has learnt from."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        model: api.ModelChoice = api.param(loader.STARTER, model="diffusion")
        names: int = api.param(300, ge=1, le=10_000, title="Names to ask for")
        pairs: int = api.param(100, ge=0, le=10_000, title="Pictures of two to ask for")
        """Pairs that no training on these folders has seen."""
        steps: int = api.param(25, ge=1, le=200, title="Steps")
        guidance: float = api.param(4.0, ge=1.0, le=30.0, title="Guidance")
        classifier_steps: int = api.param(3000, ge=1, le=1_000_000, title="Steps of the classifier", advanced=True)
        batch: int = api.param(128, ge=2, le=4096, title="Pictures at a time", advanced=True)

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        model = loader.load(ctx, params.model)
        folders = [params.folder, *params.more_folders]
        pictures, _, _ = yield from train.read_all(folders, 2 * classifier_eval.SIDE)
        if not pictures.subjects:
            raise api.BadInput(f"There are no pictures in {params.folder.name}.", "Choose another folder.")
        names = classifier_eval.ClassNames.of(pictures.subjects)
        classifier = yield from _classifier(pictures, names, params, ctx)
        pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
        asked = classifier_eval.choose_prompts(pictures, names, params.names)
        both = classifier_eval.choose_pair_prompts(pictures, names, params.pairs)

        def paint(prompts: list[str], first: int) -> Tensor:
            return painted(pipe, prompts, params, ctx, first)

        results: list[Tensor] = []
        for group in (asked, both):
            parts: list[Tensor] = []
            for done, part in classifier_eval.generate_in_batches(group, paint):
                parts.append(part)
                yield api.Progress(done, len(group), "Painting")
            results.append(torch.cat(parts) if parts else torch.empty(0))
        shown = classifier_eval.render_references(asked, pictures)
        found: dict[str, Any] = {
            "names": len(asked),
            "classes": len(names.words),
            "top_1": classifier_eval.top_k_accuracy(classifier, results[0], asked, 1),
            "top_5": classifier_eval.top_k_accuracy(classifier, results[0], asked, 5),
            "top_1_of_pictures": classifier_eval.top_k_accuracy(classifier, shown, asked, 1),
            "top_5_of_pictures": classifier_eval.top_k_accuracy(classifier, shown, asked, 5),
        }
        if both:
            found |= {
                "pairs": len(both),
                "both": classifier_eval.pair_accuracy(classifier, results[1], both),
                "both_of_pictures": classifier_eval.pair_accuracy(
                    classifier, classifier_eval.render_references(both, pictures), both
                ),
            }
        ctx.note("fidelity", found)
        yield api.Text(report(found), f"How faithfully {model.title} paints")


def _classifier(
    pictures: dataset.LoadedImages,
    names: classifier_eval.ClassNames,
    params: EvaluateDiffusion.Params,
    ctx: api.Context,
) -> Generator[api.Event, None, nn.Module]:
    learning = classifier_eval.train_classifier(
        pictures, names, steps=params.classifier_steps, batch=params.batch, seed=ctx.seed, device=ctx.device
    )
    while True:
        try:
            step, loss = next(learning)
        except StopIteration as done:
            model: nn.Module = done.value
            return model
        yield api.Progress(step, params.classifier_steps, f"Learning to name pictures, loss {loss:.2f}")


def painted(pipe: Any, prompts: list[str], params: EvaluateDiffusion.Params, ctx: api.Context, first: int) -> Tensor:
    """Pictures [n, 3, h, w] in -1..1; each has a noise of its own, whatever is painted beside it."""
    noises = [ctx.generator(1000 + first + number) for number in range(len(prompts))]
    pipe.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Tensor = pipe(
            prompt=prompts,
            num_inference_steps=params.steps,
            guidance_scale=params.guidance,
            generator=noises,
            output_type="pt",
        ).images
    return made.float().cpu() * 2 - 1


def report(found: dict[str, Any]) -> str:
    """The findings as Markdown."""
    lines = [
        f"A classifier that knows {found['classes']:,} names from pictures alone looked at "
        f"{found['names']:,} paintings, one for each name asked for.",
        "",
        "| | paintings | the pictures themselves |",
        "|---|---|---|",
        f"| the name is the first guess | {found['top_1']:.1%} | {found['top_1_of_pictures']:.1%} |",
        f"| the name is among the first five | {found['top_5']:.1%} | {found['top_5_of_pictures']:.1%} |",
    ]
    if "both" in found:
        unseen = f"both things of {found['pairs']:,} unseen pairs, each in its half"
        lines.append(f"| {unseen} | {found['both']:.1%} | {found['both_of_pictures']:.1%} |")
    return "\n".join(lines) + "\n"
