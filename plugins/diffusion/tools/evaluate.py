"""Evaluate how well a model's images match their prompts."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from studio import api

from ..checkpoints.families import Task
from ..models import loader
from ..training import classifier_eval, dataset
from ..training.classifier_eval import ClassNames, EvalPrompt
from ..training.dataset import LoadedImages

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn


class EvaluateDiffusion(api.Tool):
    """Measures how often a classifier recognises what a model was prompted for."""

    id = "diffusion.measure"
    title = "Evaluate a model"
    output = "text"
    lane = "training"
    icon = "mdi6.ruler"

    class Params(api.Params):
        folder: api.FolderInput
        """The captioned images that the model was trained on."""
        more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More folders")
        model: api.ModelChoice = api.param(loader.STARTER, model="diffusion")
        names: int = api.param(300, ge=1, le=10_000, title="Number of prompts")
        """Prompts for one subject each."""
        pairs: int = api.param(100, ge=0, le=10_000, title="Number of pair prompts")
        """Prompts for two subjects. No training on these folders has seen these pairs."""
        steps: int = api.param(25, ge=1, le=200, title="Steps")
        guidance: float = api.param(4.0, ge=1.0, le=30.0, title="Guidance scale")
        classifier_steps: int = api.param(3000, ge=1, le=1_000_000, title="Classifier training steps", advanced=True)
        batch: int = api.param(128, ge=2, le=4096, title="Batch size", advanced=True)
        """For the training of the classifier."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        model = loader.load(ctx, params.model)
        folders = [params.folder, *params.more_folders]
        images = yield from dataset.read_folders(folders, 2 * classifier_eval.SIDE)
        if not images.subjects:
            raise api.BadInput(f"There are no images in {params.folder.name}.", "Choose another folder.")
        names = ClassNames.of(images.subjects)
        classifier = yield from _train_classifier(images, names, params, ctx)
        pipe = model.pipeline_for(Task.TEXT_TO_IMAGE)
        prompts = classifier_eval.choose_prompts(images, names, params.names)
        pair_prompts = classifier_eval.choose_pair_prompts(images, names, params.pairs)
        generated = yield from _generate_all(pipe, prompts, params, ctx)
        references = classifier_eval.render_references(prompts, images)
        results: dict[str, float] = {
            "names": len(prompts),
            "classes": len(names.words),
            "top_1": classifier_eval.compute_top_k_accuracy(classifier, generated, prompts, 1),
            "top_5": classifier_eval.compute_top_k_accuracy(classifier, generated, prompts, 5),
            "top_1_of_pictures": classifier_eval.compute_top_k_accuracy(classifier, references, prompts, 1),
            "top_5_of_pictures": classifier_eval.compute_top_k_accuracy(classifier, references, prompts, 5),
        }
        if pair_prompts:
            generated = yield from _generate_all(pipe, pair_prompts, params, ctx)
            references = classifier_eval.render_references(pair_prompts, images)
            results["pairs"] = len(pair_prompts)
            results["both"] = classifier_eval.compute_pair_accuracy(classifier, generated, pair_prompts)
            results["both_of_pictures"] = classifier_eval.compute_pair_accuracy(classifier, references, pair_prompts)
        ctx.note("fidelity", results)
        yield api.Text(format_report(results), f"Evaluation of {model.title}")


def format_report(results: Mapping[str, float]) -> str:
    """Format the results as Markdown."""
    lines = [
        f"A classifier that was trained on images of {results['classes']:,} subjects classified "
        f"{results['names']:,} generated images, one for each prompt.",
        "",
        "| accuracy | generated images | training images |",
        "|---|---|---|",
        f"| top 1 | {results['top_1']:.1%} | {results['top_1_of_pictures']:.1%} |",
        f"| top 5 | {results['top_5']:.1%} | {results['top_5_of_pictures']:.1%} |",
    ]
    if "both" in results:
        pairs = f"both subjects of {results['pairs']:,} held-out pairs, each in its half (top 10)"
        lines.append(f"| {pairs} | {results['both']:.1%} | {results['both_of_pictures']:.1%} |")
    return "\n".join(lines) + "\n"


def _train_classifier(
    images: LoadedImages, names: ClassNames, params: EvaluateDiffusion.Params, ctx: api.Context
) -> Generator[api.Event, None, nn.Module]:
    training = classifier_eval.train_classifier(
        images, names, steps=params.classifier_steps, batch=params.batch, seed=ctx.seed, device=ctx.device
    )
    while True:
        try:
            step, loss = next(training)
        except StopIteration as stop:
            network: nn.Module = stop.value
            return network
        yield api.Progress(step, params.classifier_steps, f"Training the classifier, loss {loss:.2f}")


def _generate_all(
    pipe: DiffusionPipeline, prompts: list[EvalPrompt], params: EvaluateDiffusion.Params, ctx: api.Context
) -> Generator[api.Event, None, Tensor]:
    """Generate the images of all prompts, [n, 3, h, w] in -1..1."""
    import torch

    batches: list[Tensor] = []
    for done, batch in classifier_eval.generate_in_batches(
        prompts, lambda texts, first: _generate(pipe, texts, params, ctx, first)
    ):
        batches.append(batch)
        yield api.Progress(done, len(prompts), "Generating images")
    return torch.cat(batches)


def _generate(
    pipe: DiffusionPipeline, prompts: list[str], params: EvaluateDiffusion.Params, ctx: api.Context, first: int
) -> Tensor:
    """Generate images [n, 3, h, w] in -1..1. The noise of each depends on its number only, not on the batch."""
    generators = [ctx.generator(1000 + first + number) for number in range(len(prompts))]
    pipe.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images: Tensor = pipe(
            prompt=prompts,
            num_inference_steps=params.steps,
            guidance_scale=params.guidance,
            generator=generators,
            output_type="pt",
        ).images
    return images.float().cpu() * 2 - 1
