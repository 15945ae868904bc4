"""Backbones: where their weights come from, what of them is trained, and what they must not see."""

import json
from copy import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from reward_zoo.errors import SpecError
from surrogate.backbones import checkpoints
from surrogate.backbones.checkpoints import load_unet
from surrogate.backbones.lrm import GUIDANCE
from surrogate.config import DistillConfig
from surrogate.errors import BackboneError
from surrogate.folder import load_surrogate, save_surrogate
from surrogate.latents import PreparedLatents
from surrogate.seeding import stream
from tests.tiny.surrogate import FIDELITY, untrained

pytestmark = pytest.mark.filterwarnings("ignore:.*it starts from nothing")  # no weights of towers without network


@pytest.fixture(scope="module")
def rollout(generator):
    return generator.rollout(["a cat", "a dog"], [1, 2])


@pytest.fixture
def unet_folder(generator, tmp_path):
    """The tiny generator's UNet, changed a little, in a folder of its own."""
    unet = UNet2DConditionModel.from_config(generator.unet.config)
    unet.load_state_dict(generator.unet.state_dict())
    torch.nn.init.constant_(unet.conv_in.bias, 0.5)
    unet.save_pretrained(tmp_path / "unet")
    return tmp_path


def look(surrogate, rollout, generator):
    noise = torch.randn(rollout.z2.shape, generator=stream(0, "look"))
    with torch.no_grad():
        return surrogate.eval()(rollout.z2, generator.encode(rollout.prompts), torch.tensor([50, 50]), noise)[1]


@pytest.mark.parametrize("depth", ["encoder", "full"])
def test_weights_come_from_another_checkpoint(generator, unet_folder, depth):
    backbone = untrained(generator, depth, backbone_weights=str(unet_folder)).backbone
    assert (backbone.unet.conv_in.bias == 0.5).all()
    want = UNet2DConditionModel.from_pretrained(unet_folder / "unet").state_dict()
    for name, value in backbone.unet.state_dict().items():
        assert torch.equal(value, want[name]), name


def test_the_up_path_is_never_read(generator, unet_folder, monkeypatch):
    """Not from the files (they hold none of it here), and not built either."""
    file = unet_folder / "unet" / "diffusion_pytorch_model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith(("up_blocks", "conv_out"))}
    save_file(kept, file)
    unet = load_unet(str(unet_folder), depth="encoder")
    assert not any(name.startswith("up_blocks") for name, _ in unet.named_parameters())
    with pytest.raises(BackboneError, match=r"up_blocks.* is missing; the checkpoint is incomplete"):
        load_unet(str(unet_folder), depth="full")


def unet_like(generator, **changes):
    """The tiny generator with a new UNet of another kind."""
    other = copy(generator)
    other.unet = UNet2DConditionModel.from_config({**generator.unet.config, **changes}).requires_grad_(False)
    return other


@pytest.mark.parametrize("name", ["full", "encoder"])
def test_a_middle_without_text(generator, rollout, name):
    """As that of segmind/SSD-1B."""
    other = unet_like(generator, mid_block_type="UNetMidBlock2D")
    scores = look(untrained(other, name), rollout, generator)
    assert scores.isfinite().all()


@pytest.mark.parametrize(
    ("name", "settings", "changes"),
    [
        ("full", {}, {}),
        ("full", {}, {"time_cond_proj_dim": 8}),  # LCM's UNet
        ("encoder", {}, {"time_cond_proj_dim": 8}),
        ("encoder", {"backbone_depth": 1}, {}),
        ("latent-cnn", {}, {}),
        ("pixel-cnn", {}, {}),
        ("latent-vit", {}, {}),
        ("pixel-timm:resnet10t", {}, {}),
    ],
)
def test_all_that_is_trained_gets_a_gradient(generator, rollout, name, settings, changes):
    """Several processes that train one surrogate wait for every gradient."""
    surrogate = untrained(unet_like(generator, **changes), name, **settings)
    surrogate.unfreeze()
    noise = torch.randn_like(rollout.z2)
    _, scores = surrogate(rollout.z2, generator.encode(rollout.prompts), torch.tensor([50, 50]), noise)
    scores.square().sum().backward()
    trained = {id(parameter) for parameter in surrogate.trained_parameters()}
    named = [(name, parameter) for name, parameter in surrogate.named_parameters() if id(parameter) in trained]
    assert named
    assert [name for name, parameter in named if parameter.grad is None] == []


def test_sharded_weights_are_found(generator, unet_folder):
    unet = UNet2DConditionModel.from_pretrained(unet_folder / "unet")
    unet.save_pretrained(unet_folder / "unet", max_shard_size="200KB")
    (unet_folder / "unet" / "diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    assert list((unet_folder / "unet").glob("*.index.json"))
    assert torch.equal(load_unet(str(unet_folder), depth="encoder").conv_in.bias, unet.conv_in.bias)


@pytest.mark.parametrize("depth", ["encoder", "full"])
def test_a_single_file_in_the_original_layout(generator, tmp_path, depth):
    """The names that Stability's checkpoints use, made by renaming a UNet of ours."""
    save_file(in_original_layout(generator.unet), tmp_path / "sdxl.safetensors")
    unet = load_unet(str(tmp_path / "sdxl.safetensors"), depth=depth, template=dict(generator.unet.config))
    want = generator.unet.state_dict()
    assert unet.state_dict().keys() <= want.keys()
    for name, value in unet.state_dict().items():
        assert torch.equal(value, want[name].float()), name


def in_original_layout(unet):
    """diffusers' names → the original ones, by running diffusers' own converter over numbered tensors."""
    config, state = dict(unet.config), unet.state_dict()
    names = [f"{checkpoints.ORIGINAL_PREFIX}{name}" for name in original_names(config)]
    marked = {name: torch.tensor([float(number)]) for number, name in enumerate(names)}
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    found = convert_ldm_unet_checkpoint(dict(marked), config)
    assert found.keys() == state.keys()
    return {names[int(number.item())]: state[name].contiguous() for name, number in found.items()}


def original_names(config):  # noqa: C901 - a list of rules
    """Every tensor of an SDXL UNet in the original layout, written out by its rules."""

    def layer(name):
        return [f"{name}.weight", f"{name}.bias"]

    def resnet(name, shortcut):
        parts = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
        return [tensor for part in (*parts, *(["skip_connection"] if shortcut else [])) for tensor in layer(f"{name}.{part}")]

    def transformer(name, depth):
        found = [*layer(f"{name}.norm"), *layer(f"{name}.proj_in"), *layer(f"{name}.proj_out")]
        for block in range(depth):
            inside = f"{name}.transformer_blocks.{block}"
            for attention in ("attn1", "attn2"):
                found += [f"{inside}.{attention}.to_{letter}.weight" for letter in "qkv"] + layer(
                    f"{inside}.{attention}.to_out.0"
                )
            for part in ("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2"):
                found += layer(f"{inside}.{part}")
        return found

    widths, depths, layers = config["block_out_channels"], config["transformer_layers_per_block"], config["layers_per_block"]
    attends = ["CrossAttn" in kind for kind in config["down_block_types"]]
    last = len(widths) - 1
    found = [tensor for part in ("time_embed.0", "time_embed.2", "label_emb.0.0", "label_emb.0.2", "out.0", "out.2")
             for tensor in layer(part)]  # fmt: skip
    found += layer("input_blocks.0.0")
    skips, width, number = [widths[0]], widths[0], 1
    for stage, after in enumerate(widths):
        for _ in range(layers):
            found += resnet(f"input_blocks.{number}.0", width != after)
            found += transformer(f"input_blocks.{number}.1", depths[stage]) if attends[stage] else []
            width, number = after, number + 1
            skips.append(width)
        if stage < last:
            found += layer(f"input_blocks.{number}.0.op")
            number += 1
            skips.append(width)
    found += resnet("middle_block.0", False) + transformer("middle_block.1", depths[last]) + resnet("middle_block.2", False)
    number = 0
    for stage in range(last, -1, -1):
        for position in range(layers + 1):
            found += resnet(f"output_blocks.{number}.0", skips.pop() + width != widths[stage] or True)
            width = widths[stage]
            found += transformer(f"output_blocks.{number}.1", depths[stage]) if attends[stage] else []
            if position == layers and stage > 0:
                found += layer(f"output_blocks.{number}.{2 if attends[stage] else 1}.conv")
            number += 1
    return found


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: (folder / "unet" / "config.json").unlink(), r"no unet/config\.json there"),
        (lambda folder: next((folder / "unet").glob("*.safetensors")).unlink(), r"only safetensors are read"),
        (lambda folder: next((folder / "unet").glob("*.safetensors")).write_bytes(b"x" * 100), "cannot be loaded"),
        (lambda folder: edit(folder, addition_embed_type=None), "not of SDXL's architecture"),
        (lambda folder: edit(folder, cross_attention_dim=64), "cannot be loaded|has 64 text channels"),
    ],
)
def test_a_bad_checkpoint_says_what_is_wrong(generator, unet_folder, prepare, message):
    prepare(unet_folder)
    with pytest.raises(BackboneError, match=message):
        untrained(generator, "encoder", backbone_weights=str(unet_folder))


def edit(folder, **changes):
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("tune", "backbone", "trained"), [("full", "encoder", "all"), ("lora", "encoder", "lora_"), ("head", "encoder", None)]
)
def test_only_what_is_tuned_takes_a_gradient(generator, rollout, tune, backbone, trained):
    surrogate = untrained(generator, backbone, tune=tune, lora_rank=2)
    look(surrogate, rollout, generator)
    names = {name for name, parameter in surrogate.named_parameters() if parameter.requires_grad}
    assert any(name.startswith("heads.") for name in names)
    inside = {name for name in names if name.startswith("backbone.")}
    every = {name for name, _ in surrogate.backbone.named_parameters(prefix="backbone")}
    assert inside == (every if trained == "all" else {name for name in every if trained and trained in name})
    assert {id(parameter) for parameter in surrogate.trained_parameters()} == {
        id(parameter) for name, parameter in surrogate.named_parameters() if name in names
    }


def test_lora_needs_attention(generator):
    with pytest.raises(BackboneError, match="--tune lora: backbone latent-cnn has no attention"):
        untrained(generator, "latent-cnn", tune="lora")


def test_gradient_checkpointing_changes_no_number(generator, rollout):
    plain, saving = (untrained(generator, "full", gradient_checkpointing=flag) for flag in (False, True))
    found = []
    for surrogate in (plain, saving):
        latents = rollout.z2.clone().requires_grad_(True)
        conditioning = generator.encode(rollout.prompts)
        surrogate.train()
        surrogate(latents, conditioning, torch.tensor([50, 50]), torch.zeros_like(latents))[1].sum().backward()
        found.append(latents.grad)
    assert torch.allclose(*found, atol=1e-6)


def test_a_pixel_tower_leaves_its_decoder_alone(generator):
    surrogate = untrained(generator, "pixel-timm:resnet10t")
    assert not any(parameter.requires_grad for parameter in surrogate.backbone.vae.parameters())
    assert any(parameter.requires_grad for parameter in surrogate.backbone.tower.parameters())
    with pytest.raises(BackboneError, match="pixel-timm:resnet10x"):
        untrained(generator, "pixel-timm:resnet10x")


def test_a_reader_of_pictures_sees_what_the_decoder_makes(generator, rollout):
    """Whether it decodes, with gradient, or is given the pictures that it was trained on."""
    surrogate = untrained(generator, "pixel-cnn").eval()
    pictures = surrogate.backbone.prepare(rollout.z2)
    assert pictures.dtype == torch.uint8
    assert (pictures / 255 - generator.decode(rollout.z2)).abs().max() < 0.02
    assert torch.equal(surrogate.backbone.prepare(pictures), pictures)
    conditioning = generator.encode(rollout.prompts)
    given, decoded = (surrogate.score(seen, conditioning) for seen in (pictures, rollout.z2))
    assert torch.allclose(given, decoded, atol=0.02 * decoded.abs().max().item())


def test_pictures_to_train_on_are_made_once(generator, rollout):
    backbone = untrained(generator, "pixel-cnn").backbone
    kept = PreparedLatents(backbone, rollout.z2)
    first = kept.view(torch.tensor([1, 0]))[:]
    backbone.prepare = None  # would fail
    assert torch.equal(kept[torch.tensor([True, True])], first[[1, 0]])
    assert torch.equal(kept[[0, 0, 1]], first[[1, 1, 0]])
    assert len(kept.view([1])) == 1


def test_a_blind_backbone_sees_no_prompt(generator, rollout):
    surrogate = untrained(generator, "latent-cnn").eval()
    times, noise = torch.tensor([50, 50]), torch.zeros_like(rollout.z2)
    one, other = (
        surrogate.features(rollout.z2, generator.encode(prompts), times, noise) for prompts in (["a", "b"], ["c", "d"])
    )
    assert torch.equal(one[0], other[0])


@pytest.fixture
def lrm_folder(generator, unet_folder):
    """What casiatao/LRM holds for SDXL, in miniature."""
    widths = [*generator.unet.config.block_out_channels, generator.unet.config.block_out_channels[-1]]
    pooled = generator.encode_passing(["x"]).pooled.shape[1]
    weight = torch.randn(pooled, sum(widths), generator=stream(0, "projection"))
    state = {"visual_projection": {"weight": weight}, "logit_scale": 2.5}
    torch.save(state, unet_folder / "state_dict.pt")
    return unet_folder


def test_lrm_scores_as_published(generator, rollout, lrm_folder, tmp_path):
    """exp(scale)·cos(projected pooled features, pooled text), the mid feature moved away from the empty prompt's."""
    surrogate = untrained(generator, f"lrm-xl:{lrm_folder}").eval()
    found = look(surrogate, rollout, generator)[0, 0]

    state = torch.load(lrm_folder / "state_dict.pt", weights_only=True)
    plain = untrained(generator, "encoder", backbone_weights=str(lrm_folder)).eval().backbone
    told, empty = generator.encode(rollout.prompts), generator.encode(["", ""])
    noise, times = torch.randn(rollout.z2.shape, generator=stream(0, "look")), torch.tensor([50, 50])
    with torch.no_grad():
        maps, without = (plain(rollout.z2, conditioning, times, noise) for conditioning in (told, empty))
    mid = without[-1] + GUIDANCE * (maps[-1] - without[-1])
    pooled = torch.cat([feature.mean((2, 3)) for feature in (*maps[:-1], mid)], dim=1)
    image = pooled @ state["visual_projection"]["weight"].T
    want = torch.tensor(state["logit_scale"]).exp() * torch.cosine_similarity(image, told.pooled)
    assert torch.allclose(found, want, atol=1e-3)

    save_surrogate(surrogate, tmp_path / "saved", fidelity=FIDELITY, reward="ocr", generator="tiny")
    again = load_surrogate(tmp_path / "saved").surrogate
    assert torch.allclose(look(again, rollout, generator)[0, 0], found, atol=1e-4)


def test_an_lrm_that_does_not_fit_is_refused(generator, lrm_folder):
    torch.save({"visual_projection": {"weight": torch.zeros(8, 8)}, "logit_scale": 2.5}, lrm_folder / "state_dict.pt")
    with pytest.raises(BackboneError, match=r"visual_projection is \(8, 8\)"):
        untrained(generator, f"lrm-xl:{lrm_folder}")
    (lrm_folder / "state_dict.pt").unlink()
    with pytest.raises(BackboneError, match=r"state_dict\.pt is missing"):
        untrained(generator, f"lrm-xl:{lrm_folder}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "unet"}, "--backbone unet: no such backbone"),
        ({"backbone": "pixel-timm"}, "needs an argument"),
        ({"backbone": "full:x"}, "takes no argument"),
        ({"backbone_depth": 1}, "--backbone-depth 1: goes with --backbone encoder"),
        ({"backbone": "latent-vit", "backbone_weights": "x"}, "--backbone-weights x: goes with --backbone full"),
        ({"tune": "some"}, "--tune some: must be one of full, lora, head"),
        ({"pessimism": 1.0}, r"--pessimism 1\.0: is at least 0, and needs --members 2"),
        ({"rows_per_prompt": 1}, "--rows-per-prompt 1: must be 0"),
        ({"score_time": 300}, "--score-time 300, --max-time 200: need"),
        ({"learning_rate": 0.0}, r"--learning-rate 0\.0: must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        DistillConfig(**settings)
