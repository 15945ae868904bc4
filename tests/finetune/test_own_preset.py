"""A preset of one's own: read from YAML, and every mistake in it a named error."""

import shutil
from dataclasses import replace

import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from finetune.errors import GeneratorError
from finetune.generators.pipeline import load_generator
from finetune.generators.preset import Preset, find_preset, presets
from finetune.inference import optimize_noise
from surrogate.evaluation import roll_out
from surrogate.labelling import RewardMeter
from tests.tiny.surrogate import untrained


@pytest.fixture
def write(tmp_path, base, weights):
    """Write a preset beside its weights, and give its path."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "base").symlink_to(base)
    (tmp_path / "mine.bin").symlink_to(weights["unet.bin"])

    def written(**row):
        path = tmp_path / "preset.yaml"
        path.write_text(yaml.safe_dump({"source": "models/base", **row}))
        return str(path)

    return written


def test_places_are_relative_to_the_file(write, base, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    path = write(unet="mine.bin", times=[399], image_size=64, prompts="signs-test")
    generator, preset = load_generator(path, "cpu"), find_preset(path)
    assert (generator.name, preset.name, generator.num_steps) == (path, "preset", 1)
    assert preset.unet == str(tmp_path / "mine.bin")
    assert (preset.prompts, preset.image_size) == ("signs-test", (64, 64))
    same = Preset(name="x", source=str(base), unet=preset.unet, times=(399,), image_size=(64, 64))
    assert torch.equal(generator.rollout(["a"], [0]).z1, load_generator(same, "cpu").rollout(["a"], [0]).z1)
    assert find_preset(write(name="hers")).name == "hers"
    assert find_preset("models/base") is None


BAD = [
    ({"sampler": "lcn"}, "sampler='lcn' must be one of lcm, tcd"),
    ({"samplr": "lcm"}, "unknown key 'samplr'; did you mean 'sampler'"),
    ({"times": [499, 999]}, r"times=\[499, 999\] must fall"),
    ({"times": [999, 749, 499, 249]}, "times=.* one or two whole numbers"),
    ({"times": 999}, "times=999 must be one or two"),
    ({"times": [1000]}, "from 0 to 999"),
    ({"prediction_type": "noise"}, "prediction_type='noise' must be one of epsilon"),
    ({"guidance_scale": 0}, "guidance_scale=0 must be a number from 1"),
    ({"guidance_scale": True}, "guidance_scale=True"),
    ({"learning_rate": 0}, "learning_rate=0 must be a number above 0"),
    ({"learning_rate": "fast"}, "learning_rate='fast' must be"),
    ({"learning_rate": True}, "learning_rate=True"),
    ({"image_size": "big"}, "image_size='big' must be a height"),
    ({"image_size": [64]}, r"image_size=\[64\]"),
    ({"bf16": "yes please"}, "bf16='yes please' must be true or false"),
    ({"extra_steps": 2}, "extra_steps=2 must be 0, or from 3"),
    ({"times": [999], "extra_steps": 4}, "extra_steps=4 must be 0 for a one-step"),
    ({"unet": 7}, "unet=7 must be text"),
    ({"source": None}, "source=None must be text"),
]


@pytest.mark.parametrize(("row", "said"), BAD)
def test_bad_values_are_named(write, row, said):
    with pytest.raises(GeneratorError, match=said):
        find_preset(write(**row))


@pytest.mark.parametrize(
    ("text", "said"),
    [("- lcm", "one mapping of fields"), ("a: [", "cannot be read as YAML"), ("times: [999]", "source is missing")],
)
def test_what_is_no_preset_is_named(tmp_path, text, said):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(GeneratorError, match=said):
        load_generator(str(tmp_path / "p.yaml"))
    with pytest.raises(GeneratorError, match=r"no/such.yaml: cannot be read"):
        load_generator("no/such.yaml")


def test_weights_that_do_not_fit_are_named(write, weights, tmp_path, base):
    state = load_file(weights["unet.safetensors"])
    first = min(state)
    save_file({key: value for key, value in state.items() if key != first}, tmp_path / "part.safetensors")
    save_file({**state, "conv_in.weight": torch.zeros(2, 2)}, tmp_path / "shape.safetensors")
    save_file({"text_encoder.q_proj.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "text.safetensors")
    wide = {f"unet.conv_in.lora_{part}.weight": torch.zeros(2, 2, 1, 1) for part in "AB"}
    save_file(wide, tmp_path / "wide.safetensors")
    torch.save({"a": pytest.Item}, tmp_path / "code.bin")
    (tmp_path / "word.txt").write_text("x")
    for field, file in (
        *(("unet", name) for name in ("part.safetensors", "shape.safetensors", "code.bin", "word.txt", "models")),
        *(("lora", name) for name in ("text.safetensors", "wide.safetensors", "word.txt", "mine.bin")),
        ("vae", "models"),
    ):
        with pytest.raises(GeneratorError, match=rf"generator preset: {field} .*{file} cannot be loaded \(.*\); give a"):
            load_generator(write(**{field: file}), "cpu")
    with pytest.raises(GeneratorError, match=r"lora no/where/x.bin cannot be loaded .*check the path, or the network"):
        load_generator(write(lora="no/where/x.bin"), "cpu")
    with pytest.raises(GeneratorError, match=r"source no/where cannot be loaded .*check the network and the hub id"):
        load_generator(write(source="no/where"), "cpu")


def test_guidance_goes_with_a_unet_that_embeds_it(write, weights):
    with pytest.raises(GeneratorError, match=r"guidance_scale=8, and its UNet has no embedded guidance"):
        load_generator(write(guidance_scale=8.0), "cpu")
    with pytest.raises(GeneratorError, match=r"embedded guidance \(time_cond_proj_dim=8\); give guidance_scale"):
        load_generator(write(unet=str(weights["guided"])), "cpu")
    with pytest.raises(GeneratorError, match=r"image_size=\[100, 100\] must be multiples of 8"):
        load_generator(write(image_size=100), "cpu")


@pytest.fixture
def hub(base, weights, tmp_path, monkeypatch):
    """The hub's cache on disk as its library keeps it, of a base without its UNet's weights and of what replaces them."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def snapshot(name):
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("a" * 40)
        (repository / "snapshots").mkdir()
        return repository / "snapshots" / ("a" * 40)

    shutil.copytree(
        base, snapshot("o/base"), ignore=lambda folder, _: ["diffusion_pytorch_model.fp16.safetensors"] * ("unet" in folder)
    )
    shutil.copytree(weights["vae"], snapshot("o/vae"))
    shutil.copytree(weights["guided"], snapshot("o/guided"))
    for name, kind, file in (
        ("o/unets", "unet.bin", "in/two.bin"),
        ("o/lora", "lora.safetensors", "pytorch_lora_weights.safetensors"),
    ):
        target = snapshot(name) / file
        target.parent.mkdir(parents=True)
        shutil.copy(weights[kind], target)


@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument")  # diffusers' own call of the hub's library
def test_hub_ids_and_files_in_them_are_places(hub, base, weights, tmp_path):
    def latents(**row):
        return load_generator(Preset(name="x", **row), "cpu", text_cache=tmp_path / "text").rollout(["a"], [0]).z2

    far = latents(source="o/base", unet="o/unets/in/two.bin", lora="o/lora", vae="o/vae")
    near = {"source": str(base), "lora": str(weights["lora.safetensors"]), "vae": str(weights["vae"])}
    assert torch.equal(far, latents(**near, unet=str(weights["unet.bin"])))
    guided = latents(source="o/base", unet="o/guided", guidance_scale=2.0)
    assert torch.equal(guided, latents(source=str(base), unet=str(weights["guided"]), guidance_scale=2.0))
    with pytest.raises(GeneratorError, match=r"unet o/unets/one.bin cannot be loaded .*check the path, or the network"):
        latents(source="o/base", unet="o/unets/one.bin")


@pytest.fixture
def one_step(write):
    return load_generator(write(times=[800]), "cpu")


def test_a_one_step_generator_has_one_stage(one_step):
    assert list(one_step.rollout(["a"], [0]).stages) == [1]
    with pytest.raises(GeneratorError, match=r"asked for 2 steps, and has one \(times=\[800\]\)"):
        one_step.sample(["a"], [0], 2)


def test_a_one_step_generator_is_labelled_once(write, lasro, tmp_path, one_step):
    (tmp_path / "prompts.txt").write_text("\n".join(f"prompt {number}" for number in range(20)))
    given = ("--reward", "brightness", "--prompts", tmp_path / "prompts.txt", "--generator", write(times=[800]), "--json")
    size = ("--samples", 24, "--noises", 2, "--out", tmp_path / "run")
    code, result, _ = lasro("label", *given, *size)
    assert (code, result["labels"], result["reward_calls"]) == (0, 24, 24)
    code, _, err = lasro("label", *given, *size, "--overwrite", "--extra-steps", 4)
    assert code == 2
    assert "--extra-steps 4: must be 0: the generator has one step" in err


def test_a_one_step_generator_is_evaluated_and_searched(one_step):
    import reward_zoo

    meter = RewardMeter(reward_zoo.load("brightness"))
    data = roll_out(one_step, meter, ["a", "b"], noises=2, seed=0)
    assert (data.stages.tolist(), meter.calls) == ([1] * 4, 4)
    surrogate = untrained(one_step, "encoder")
    _, scores = optimize_noise(one_step, surrogate, ["a"], [0], steps=1)
    want = surrogate.score(one_step.rollout(["a"], [0]).z1, one_step.encode(["a"]))
    assert torch.allclose(scores[0], want, atol=1e-4)


def test_presets_are_checked_when_changed():
    with pytest.raises(GeneratorError, match="preset sdxl-turbo: extra_steps=4 must be 0"):
        replace(presets()["sdxl-turbo"], times=(1,))
