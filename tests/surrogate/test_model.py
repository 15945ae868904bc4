"""The surrogate on a tiny SDXL UNet: its backbone is that UNet, its gradient is there, its folder comes back."""

import json
from pathlib import Path

import pytest
import torch

from surrogate.backbones.sdxl import SDXLBackbone
from surrogate.errors import LatentSpaceError, SurrogateFolderError
from surrogate.folder import SavedSurrogate, check_labels, check_latent_space, load_surrogate, save_surrogate
from surrogate.store import LabelledStore
from surrogate.types import LatentSpace
from tests.tiny.surrogate import FIDELITY, untrained

pytestmark = pytest.mark.filterwarnings("ignore:.*it starts from nothing")  # no weights of towers without network

FACTS = {"reward": "ocr", "generator": "tiny", "margin": 0.2, "labels": ["../labels"]}


@pytest.fixture(scope="module")
def rollout(generator):
    return generator.rollout(["a cat", "a dog"], [1, 2])


BACKBONES = ["encoder", "full", "latent-cnn", "pixel-cnn", "latent-vit", "pixel-timm:resnet10t"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_score_has_a_gradient_at_the_latents(generator, rollout, backbone):
    surrogate = untrained(generator, backbone).eval()
    latents = rollout.z2.clone().requires_grad_(True)
    scores = surrogate.score(latents, generator.encode(rollout.prompts))
    scores.sum().backward()
    assert scores.shape == (2,)
    assert latents.grad.isfinite().all()
    assert latents.grad.abs().sum() > 0


def test_the_full_backbone_is_the_unet(generator, rollout):
    """Its last feature holds (x0 of the UNet's own forward pass) minus the latents."""
    backbone = SDXLBackbone(generator.unet, depth="full", alphas_cumprod=generator.alphas_cumprod, prediction_type="epsilon")
    times, noise = torch.tensor([300, 300]), torch.randn(rollout.z2.shape)
    conditioning = generator.encode(rollout.prompts)
    with torch.no_grad():
        features = backbone(rollout.z2, conditioning, times, noise)
        root, sigma = generator.alphas_cumprod[300].sqrt(), (1 - generator.alphas_cumprod[300]).sqrt()
        noisy = root * rollout.z2 + sigma * noise
        extra = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
        output = generator.unet(noisy, times, conditioning.prompt_embeds, added_cond_kwargs=extra).sample
    want = (noisy - sigma * output) / root - rollout.z2
    assert torch.allclose(features[-1][:, 4:], want, atol=1e-4)
    assert [feature.shape[1] for feature in features] == backbone.channels


def test_the_encoder_keeps_no_up_path(generator):
    names = dict(untrained(generator, "encoder").backbone.unet.named_parameters())
    assert any(name.startswith("mid_block") for name in names)
    assert not any(name.startswith(("up_blocks", "conv_out", "conv_norm_out")) for name in names)


def test_distilling_leaves_the_generator_alone(generator):
    surrogate = untrained(generator, "full")
    with torch.no_grad():
        for parameter in surrogate.backbone.parameters():
            parameter.zero_()
    assert generator.unet.conv_in.weight.abs().sum() > 0


def test_a_row_scores_the_same_alone(generator, rollout):
    surrogate = untrained(generator, "full").eval()
    conditioning = generator.encode(rollout.prompts)
    with torch.no_grad():
        both = surrogate.score(rollout.z2, conditioning)
        alone = surrogate.score(rollout.z2[1:], conditioning[1:])
    assert torch.allclose(both[1:], alone, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        *((backbone, {}) for backbone in BACKBONES),
        ("encoder", {"backbone_depth": 2}),
        ("full", {"tune": "lora", "lora_rank": 4}),
        ("encoder", {"members": 3, "pessimism": 1.0}),
    ],
)
def test_a_saved_surrogate_comes_back(generator, rollout, tmp_path, backbone, settings):
    surrogate = untrained(generator, backbone, **settings)
    save_surrogate(surrogate, tmp_path, fidelity=FIDELITY, **FACTS)
    again = load_surrogate(tmp_path)
    conditioning = generator.encode(rollout.prompts)
    with torch.no_grad():
        want, got = (model.score(rollout.z2, conditioning) for model in (surrogate.eval(), again.surrogate))
    assert torch.equal(want, got)
    assert again.config["reward"] == "ocr"
    assert again.labels == []  # they stand nowhere
    assert "0.800" in (tmp_path / "README.md").read_text()


def test_a_surrogate_is_shared(generator, tmp_path, monkeypatch):
    facts = {**FACTS, "teacher_license": "MIT (RapidOCR)", "generators": ["tiny", "other"]}
    save_surrogate(untrained(generator, "encoder"), tmp_path / "made", fidelity=FIDELITY, **facts)
    hub = {}

    def upload(self, *, repo_id, folder_path, commit_message):
        hub[repo_id] = {file.name: file.read_bytes() for file in Path(folder_path).iterdir()}
        return f"https://hub/{repo_id}"

    def download(repo_id, *, allow_patterns):
        if repo_id not in hub:
            raise FileNotFoundError(f"404: {repo_id}")
        folder = tmp_path / "cache"
        folder.mkdir()
        for name in allow_patterns:
            (folder / name).write_bytes(hub[repo_id][name])
        return str(folder)

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda self, repo_id, **settings: None)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    saved = SavedSurrogate.from_pretrained(tmp_path / "made")
    assert saved.push_to_hub("me/ocr-surrogate") == "https://hub/me/ocr-surrogate"
    assert sorted(hub["me/ocr-surrogate"]) == ["README.md", "config.json", "fidelity.json", "model.safetensors"]
    again = SavedSurrogate.from_pretrained("me/ocr-surrogate")
    assert again.fidelity == FIDELITY
    assert again.config == {**saved.config, "labels": []}
    for name, value in saved.surrogate.state_dict().items():
        assert torch.equal(value, again.surrogate.state_dict()[name]), name
    card = hub["me/ocr-surrogate"]["README.md"].decode()
    for fact in ("`ocr`", "MIT (RapidOCR)", "`tiny`, `other`", "0.800", "0.700 to 0.900", "0.950"):
        assert fact in card
    with pytest.raises(SurrogateFolderError, match=r"nobody/nothing: no such folder, and the hub does not give it \(404"):
        load_surrogate("nobody/nothing")


def test_a_bad_folder_says_what_is_wrong(generator, tmp_path):
    with pytest.raises(SurrogateFolderError, match=r"config.json is missing"):
        load_surrogate(tmp_path)
    save_surrogate(untrained(generator, "encoder"), tmp_path, fidelity=FIDELITY, **FACTS)
    fidelity = (tmp_path / "fidelity.json").rename(tmp_path / "elsewhere")
    with pytest.raises(SurrogateFolderError, match=r"fidelity.json is missing"):
        load_surrogate(tmp_path)
    fidelity.rename(tmp_path / "fidelity.json")
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(SurrogateFolderError, match="damaged"):
        load_surrogate(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(SurrogateFolderError, match="newer"):
        load_surrogate(tmp_path)


def test_another_latent_space_is_refused(generator, tmp_path):
    surrogate = untrained(generator, "encoder")
    check_latent_space(surrogate, generator)
    for space, message in (
        (LatentSpace(16, 16, 16, 0.36), r"16 scaled by 0\.36"),
        (LatentSpace(4, 16, 16, 0.2), r"4 scaled by 0\.2"),
    ):
        surrogate.latent_space = space
        with pytest.raises(LatentSpaceError, match=f"the surrogate reads {message}"):
            check_latent_space(surrogate, generator)
        store = LabelledStore.create(tmp_path / str(space.channels), latent_space=space.as_dict())
        with pytest.raises(LatentSpaceError, match=f"holds {message}; give the --generator"):
            check_labels(store, generator)
