"""The CLIP family against reference code written with plain transformers and open_clip."""

import numpy as np
import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import MissingWeightsError, SpecError
from reward_zoo.images import to_uint8
from reward_zoo.preprocessing import center_crop, pad_to_square, resize_and_crop, resize_longest_and_pad, resize_shortest
from reward_zoo.reward import RewardInputs
from tests.tiny import clip as tiny
from tests.tiny.clip import build_clip, build_head, build_open_clip, build_siglip

PROMPTS = ["a red sign", "two cats on a mat"]


def values(spec, images, prompts=None):
    return reward_zoo.load(spec)(images=images, prompts=prompts).values


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def pixels():
    """Already at the tiny models' size, so that resizing plays no part."""
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def reference(folder):
    """Plain transformers: (cosines, image embeddings)."""
    from transformers import CLIPModel, CLIPTokenizer

    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def embed(pixels, prompts):
        mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
        values = (pixels - mean[:, None, None]) / std[:, None, None]
        tokens = tokenizer(prompts, padding=True, truncation=True, return_tensors="pt")
        found = model(pixel_values=values, **tokens)
        return found.image_embeds, found.text_embeds, model.logit_scale.exp()

    return embed


def test_clip_score_and_its_options(folder, reference, pixels):
    image, text, _ = reference(pixels, PROMPTS)
    cosine = (image * text).sum(1)
    assert torch.allclose(values(f"clip_score:weights={folder}", pixels, PROMPTS), cosine, atol=1e-4)
    image, text, _ = reference(pixels, [f"A photo depicts {prompt}" for prompt in PROMPTS])
    paper = reward_zoo.load(f"clip_score:weights={folder},scale=2.5,clamp=true,prefix=A photo depicts")
    want = 2.5 * (image * text).sum(1).clamp(min=0)
    assert torch.allclose(paper(images=pixels, prompts=PROMPTS).values, want, atol=1e-4)


def test_pickscore(folder, reference, pixels):
    image, text, scale = reference(pixels, PROMPTS)
    want = scale * (image * text).sum(1)
    assert torch.allclose(values(f"pickscore:weights={folder}", pixels, PROMPTS), want, atol=1e-4)
    flow = reward_zoo.load(f"pickscore:weights={folder},scale=26")
    assert torch.allclose(flow(images=pixels, prompts=PROMPTS).values, want / 26, atol=1e-4)


def test_prompt_pair(folder, reference, pixels):
    image, text, _ = reference(pixels, ["Good photo.", "Bad photo."])
    want = (100 * image @ text.T).softmax(1)[:, 0]
    assert torch.allclose(values(f"prompt_pair:weights={folder}", pixels), want, atol=1e-4)


def test_aesthetic(folder, reference, pixels, tmp_path):
    image, _, _ = reference(pixels, PROMPTS)
    head = build_head(tmp_path / "head.pth", 12, (0, 2, 4, 6, 7))
    state, hidden = torch.load(head), image
    for number in (0, 2, 4, 6, 7):
        hidden = hidden @ state[f"layers.{number}.weight"].T + state[f"layers.{number}.bias"]
    got = values(f"aesthetic:weights={folder},head={head}", pixels)
    assert torch.allclose(got, hidden[:, 0], atol=1e-4)
    other = build_head(tmp_path / "other.pth", 12, (0, 1, 2, 3, 4))
    with pytest.raises(MissingWeightsError, match="not this predictor's head"):
        reward_zoo.load(f"aesthetic:weights={folder},head={other}")


def test_siglip(pixels, tmp_path):
    from transformers import AutoTokenizer, SiglipModel

    folder = build_siglip(tmp_path)
    model, tokenizer = SiglipModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(PROMPTS, padding="max_length", max_length=64, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=tokens["input_ids"], pixel_values=(pixels - 0.5) / 0.5).logits_per_image.diagonal()
    assert torch.allclose(values(f"siglip_score:weights={folder}", pixels, PROMPTS), logits, atol=1e-4)
    probability = reward_zoo.load(f"siglip_score:weights={folder},probability=true")
    assert torch.allclose(probability(images=pixels, prompts=PROMPTS).values, logits.sigmoid(), atol=1e-4)
    assert probability.card.range == (0.0, 1.0)
    shouted = probability(images=pixels, prompts=["A Red, Sign!", "TWO cats on a mat."]).values
    assert torch.equal(shouted, probability(images=pixels, prompts=PROMPTS).values)  # SigLIP reads lower case, no punctuation


def test_open_clip_and_hpsv2_differ_in_preprocessing_only(tmp_path, pixels):
    import open_clip

    config, checkpoint = build_open_clip(tmp_path)
    model, _, transform = open_clip.create_model_and_transforms("tiny-open-clip")
    model.load_state_dict(torch.load(checkpoint)["state_dict"])
    tokens = open_clip.get_tokenizer("tiny-open-clip")(PROMPTS)
    wide = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(5))
    options = f"model={config},weights={checkpoint}"

    @torch.no_grad()
    def cosine(values):
        image, text = model.eval().encode_image(values), model.encode_text(tokens)
        return torch.cosine_similarity(image, text)

    want = cosine(torch.stack([transform(Image.fromarray(array)) for array in to_uint8(pixels)]))
    for name in ("open_clip_score", "hpsv2"):  # nothing to resize: the same numbers
        assert torch.allclose(values(f"{name}:{options}", list(to_uint8(pixels)), PROMPTS), want, atol=1e-4)
    pictures = [Image.fromarray(array) for array in to_uint8(wide)]
    cropped = cosine(torch.stack([transform(picture) for picture in pictures]))
    padded = []
    for picture in pictures:
        canvas = Image.new("RGB", (32, 32))
        canvas.paste(picture.resize((32, 20), Image.BICUBIC), (0, 6))
        padded.append(transform(canvas))
    padded = cosine(torch.stack(padded))
    assert torch.allclose(values(f"open_clip_score:{options}", wide, PROMPTS), cropped, atol=5e-3)
    assert torch.allclose(values(f"hpsv2:{options}", wide, PROMPTS), padded, atol=5e-3)
    assert not torch.allclose(cropped, padded, atol=5e-3)


@pytest.mark.parametrize("name", list(tiny.SPECS))
def test_texts_follow_the_images_to_their_device(name, tmp_path):
    """The meta device stands in for an accelerator: nothing may stay behind on the CPU."""
    reward = reward_zoo.load(tiny.SPECS[name](tmp_path))
    images = torch.rand(2, 3, 40, 48, device="meta")
    answer = reward.score(RewardInputs(images=images, prompts=PROMPTS, references=images))
    assert (answer if torch.is_tensor(answer) else answer.values).device.type == "meta"


def test_ranges_follow_the_options(folder, tmp_path):
    assert reward_zoo.load(f"clip_score:weights={folder},scale=100").card.range == (-100, 100)
    assert reward_zoo.load(f"clip_score:weights={folder},scale=2.5,clamp=true").card.range == (0, 2.5)
    config, checkpoint = build_open_clip(tmp_path)
    assert reward_zoo.load(f"hpsv2:model={config},weights={checkpoint},scale=100").card.range == (-100, 100)


def test_open_clip_tags(monkeypatch):
    with pytest.raises(SpecError, match="pretrained='webly' is no training of ViT-B-16-SigLIP; choose of webli"):
        reward_zoo.load("open_clip_score:model=ViT-B-16-SigLIP,pretrained=webly,weights=x.pt")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError, match=r"weights timm/ViT-B-16-SigLIP: open_clip_pytorch_model\.bin"):
        reward_zoo.load("open_clip_score:model=ViT-B-16-SigLIP,pretrained=webli")


def test_open_clip_preprocessing_is_the_tag_s(tmp_path, monkeypatch):
    """A training that squeezes images and has its own mean and std."""
    import open_clip

    config, checkpoint = build_open_clip(tmp_path)
    wide = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(5))
    tag = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "resize_mode": "squash", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-open-clip", {"squeezed": tag})
    model = open_clip.create_model("tiny-open-clip", pretrained=str(checkpoint), force_quick_gelu=True).eval()
    with torch.no_grad():
        squeezed = torch.nn.functional.interpolate(wide, (32, 32), mode="bilinear", antialias=True)
        image = model.encode_image((squeezed - 0.5) / 0.5)
        want = torch.cosine_similarity(image, model.encode_text(open_clip.get_tokenizer("tiny-open-clip")(PROMPTS)))
    spec = f"open_clip_score:model={config},weights={checkpoint},pretrained=squeezed"
    assert torch.allclose(values(spec, wide, PROMPTS), want, atol=1e-4)


@pytest.mark.parametrize("name", ["clip_score", "open_clip_score", "siglip_score", "pickscore", "hpsv2", "mps"])
def test_a_cut_prompt_is_reported(name, tmp_path, pixels):
    from tests.tiny.rewards import SPECS

    reward = reward_zoo.load(SPECS[name](tmp_path))
    scores = reward(images=pixels, prompts=["short", "a long " * 60])
    assert scores.components["prompt_truncated"].tolist() == [0.0, 1.0]
    assert scores.valid.all()


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("clip_score", "openai/clip-vit-large-patch14"),
        ("open_clip_score", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
        ("siglip_score", "google/siglip-so400m-patch14-384"),
        ("pickscore", "yuvalkirstain/PickScore_v1"),
        ("hpsv2", "xswu/HPSv2"),
        ("aesthetic", "trl-lib/ddpo-aesthetic-predictor"),
        ("mps", "RE-N-Y/mpsv1"),
        ("dino_similarity", "facebook/dinov2-base"),
    ],
)
def test_missing_weights_name_the_hub_id_and_the_place(name, repo, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        MissingWeightsError, match=rf"{name}: weights {repo}.*put them at \$LASRO_WEIGHTS/{repo.replace('/', '--')}"
    ):
        reward_zoo.load(name)


def test_a_missing_head_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=r"aesthetic: weights trl-lib/ddpo-aesthetic-predictor.*or give head=PATH"):
        reward_zoo.load(f"aesthetic:weights={folder}")
    with pytest.raises(MissingWeightsError, match=r"aesthetic: head=no/such\.pth: no file"):
        reward_zoo.load(f"aesthetic:weights={folder},head=no/such.pth")
    place = r"\$LASRO_WEIGHTS/aesthetic_predictor_v2_5\.pth, or give head=PATH"
    with pytest.raises(MissingWeightsError, match=f"aesthetic_v2_5: weights https://github.com.*{place}"):
        reward_zoo.load("aesthetic_v2_5")


def test_a_model_folder_that_lacks_weights_is_refused(tmp_path):
    """Transformers would fill them with random numbers."""
    from safetensors.torch import load_file, save_file

    file = build_clip(tmp_path) / "model.safetensors"
    state = {key: value for key, value in load_file(file).items() if key != "visual_projection.weight"}
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(MissingWeightsError, match=r"lacks weights of CLIPModel: visual_projection\.weight"):
        reward_zoo.load(f"clip_score:weights={tmp_path}")


def test_weights_put_by_hand_are_found(tmp_path, monkeypatch, pixels):
    build_clip(tmp_path / "openai--clip-vit-large-patch14")
    monkeypatch.setenv("LASRO_WEIGHTS", str(tmp_path))
    assert reward_zoo.load("clip_score")(images=pixels, prompts=PROMPTS).valid.all()


def test_preprocessing_keeps_shapes_and_agrees_with_pil():
    image = torch.rand(1, 3, 60, 100, generator=torch.Generator().manual_seed(1))
    assert resize_shortest(image, 30).shape[-2:] == (30, 50)
    assert resize_and_crop(image, 30).shape[-2:] == (30, 30)
    assert resize_longest_and_pad(image, 50).shape[-2:] == (50, 50)
    picture = Image.fromarray(to_uint8(image)[0])
    want = np.asarray(picture.resize((50, 30), Image.BICUBIC), dtype=np.float32) / 255
    got = (
        resize_shortest(torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255, 30)[0]
        .permute(1, 2, 0)
        .numpy()
    )
    assert np.abs(got - want).max() < 2.5 / 255
    ramp = torch.arange(7.0).expand(1, 3, 4, 7)  # 3 columns too many: torchvision drops 2 on the left, transformers 1
    assert center_crop(ramp, 4)[0, 0, 0].tolist() == [2, 3, 4, 5]
    assert center_crop(ramp, 4, round_down=True)[0, 0, 0].tolist() == [1, 2, 3, 4]
    tall = pad_to_square(torch.ones(1, 3, 4, 2), (0, 0, 0))
    assert tall[0, 0].tolist() == [[0, 1, 1, 0]] * 4
