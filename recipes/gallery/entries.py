"""What stands in the gallery, as data: an entry for every registered reward, some with several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recipes.gallery import drawings as draw

Draw = Callable[[], draw.Picture]
SIGN = 'a red sign that says "OPEN" in white'
CIRCLE = "a red circle on a white background"
PAINTED = "painted"  # a pair that the embedded generator paints: recipes/gallery/painting.py


@dataclass(frozen=True)
class Entry:
    """One row: what scores high, what scores low, and pictures to show it on where the reward can be measured."""

    name: str
    high: str
    low: str
    pair: tuple[Draw | None, Draw | None] | str | None = None  # None: words alone, because pictures cannot show it
    spec: str = ""
    prompt: str | None = None
    target: str | None = None
    reference: Draw | None = None

    @property
    def reward(self) -> str:
        """The spec that is measured."""
        return self.spec or self.name

    @property
    def slug(self) -> str:
        """What its files are called."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.reward.split("/")[-1]).strip("-")


CIRCLES = (draw.red_circle, draw.green_squares)
BEAUTY = (draw.scene, draw.noisy)
LIKENESS = (draw.shifted, draw.flag)


def _circle(name: str, high: str = "the picture shows what the prompt says", low: str = "something else") -> Entry:
    return Entry(name, high, low, CIRCLES, prompt=CIRCLE)


def _liked(name: str) -> Entry:
    return Entry(
        name, "fits the prompt, and looks as people like it", "does not fit, or is broken", BEAUTY, prompt="a house on a hill"
    )


GROUPS: dict[str, tuple[Entry, ...]] = {
    "Light and colour": (
        Entry("brightness", "light", "dark", (draw.brightened, draw.darkened)),
        Entry("contrast", "deep darks beside lights", "all of one lightness", (draw.stark, draw.washed_out)),
        Entry("colorfulness", "many strong, different colours", "grey, or one pale tone", (draw.vivid, draw.gray)),
        Entry("saturation", "pure colours", "colours mixed with grey", (draw.vivid, draw.washed_out)),
        Entry("color_entropy", "a rich palette", "a few flat colours", (draw.rainbow, draw.flag)),
        Entry(
            "color_target",
            "on the whole of the wanted colour: red",
            "of another",
            (draw.red_scene, draw.blue_scene),
            target="red",
        ),
    ),
    "Structure": (
        Entry("sharpness", "in focus; noise counts too", "out of focus", (draw.scene, draw.blurred)),
        Entry("edge_density", "edges everywhere", "large plain shapes", (draw.bricks, draw.disc)),
        Entry("smoothness", "calm surfaces", "noise, fine texture", (draw.ramp, draw.noisy)),
        Entry("symmetry", "its own mirror image", "left and right differ", (draw.mirrored, draw.scene)),
        Entry("artifact_guard", "an ordinary picture", "dark, blown out, flat or one-coloured", (draw.scene, draw.night)),
    ),
    "File size": (
        Entry("jpeg_compressibility", "simple: a small file", "detail and noise: a large file", (draw.disc, draw.noisy)),
        Entry("jpeg_incompressibility", "detail and noise", "simple", (draw.noisy, draw.disc)),
        Entry("png_compressibility", "flat or repetitive", "never the same twice", (draw.tiles, draw.noisy)),
    ),
    "Text": (
        *(
            Entry("ocr", "the engine reads what the prompt quotes", "other letters, or none", PAINTED, spec, prompt=SIGN)
            for spec in ("ocr", "ocr:engine=easyocr", "ocr:engine=tesseract")
        ),
        Entry("ocr_confidence", "large, clear letters, whatever they say", "no letters", (draw.poster, draw.ramp)),
        Entry("text_free", "no letters", "letters; engines also read ● in a round shape", (draw.ramp, draw.watermarked)),
    ),
    "Likeness to the prompt": (
        _circle("clip_score"),
        _circle("open_clip_score"),
        _circle("siglip_score"),
        _circle("blip_itm"),
        _circle("blip_vqa", "each thing has the attribute that the prompt gives it", "attributes swapped or missing"),
        _circle("vqascore"),
        _circle("captioning_alignment", "its caption means what the prompt says", "its caption says something else"),
        Entry(
            "geneval",
            "the right objects, as many, of that colour, in that place: all clauses of the record hold",
            "a clause fails",
        ),
    ),
    "What people prefer": tuple(map(_liked, ("image_reward", "image_reward_original", "pickscore", "hpsv2", "hpsv3", "mps"))),
    "Looks": (
        Entry("aesthetic", "what people call beautiful, from 1 to 10", "dull or broken", BEAUTY),
        Entry("aesthetic_v2_5", "the same, and fair to illustrations", "dull or broken", BEAUTY),
        Entry(
            "prompt_pair",
            "nearer to the first text than to the second",
            "nearer to the second",
            (draw.brightened, draw.darkened),
            "prompt_pair:positive=a bright picture,negative=a dark picture",
        ),
        Entry(
            "nsfw_safety",
            "nothing exposed",
            "an exposed body; no picture of one is made here",
            (draw.scene, None),
        ),
    ),
    "Likeness to a picture": (
        Entry("lpips_similarity", "the reference, a pixel to the side", "another picture", LIKENESS, reference=draw.scene),
        Entry("dino_similarity", "the same subject as the reference", "another subject", LIKENESS, reference=draw.scene),
        Entry("clip_image_similarity", "the same subject as the reference", "another subject", LIKENESS, reference=draw.scene),
    ),
    "Judges": (
        Entry("vlm_judge", "the model behind your endpoint says a high number", "it says a low one"),
        Entry("unified_reward", "UnifiedReward finds it fitting, coherent, well made", "it finds faults"),
    ),
    "Whole libraries": (
        Entry("timm", "the classifier is sure of the class you name", "it sees another"),
        Entry(
            "torchmetrics",
            "by total_variation: calm (the metric's sign is turned where lower is better)",
            "restless",
            (draw.ramp, draw.noisy),
            "torchmetrics:total_variation",
        ),
        Entry("pyiqa", "by niqe: looks natural and undistorted", "distorted", (draw.scene, draw.noisy), "pyiqa:niqe"),
    ),
    "Made of others, and your own": (
        Entry(
            "composite",
            "much of both, in units of what is usual",
            "little of both",
            (draw.vivid, draw.washed_out),
            "0.5*contrast+0.5*colorfulness",
        ),
        Entry(
            "normalized",
            "above what is usual: positive",
            "below: negative",
            (draw.stark, draw.washed_out),
            "normalized(contrast)",
        ),
        Entry(
            "callable",
            "what your function likes: a dark left half",
            "what it does not",
            (draw.left_dark, draw.scene),
            "recipes/gallery/own.py:left_dark",
        ),
        Entry("surrogate", "what it was distilled from would score high", "would score low"),
        Entry("remote", "what the reward on the server likes", "what it does not"),
        Entry("isolated", "what the reward in its own environment likes", "what it does not"),
    ),
}
ENTRIES = [entry for group in GROUPS.values() for entry in group]
