"""Labelling: every stage of every pair once, resumable, metered."""

import pytest
import torch
from PIL import Image

import reward_zoo
from cli.items import captioned
from reward_zoo.errors import ImageError, SpecError, TableError
from surrogate.config import DistillConfig
from surrogate.errors import StoreError
from surrogate.labelling import RewardMeter, batches_to_do, label, label_images
from surrogate.store import LabelledStore

JOBS = [("a cat", 1), ("a cat", 2), ("a dog", 3)]


def labelled(generator, folder, jobs=JOBS, **options):
    meter = RewardMeter(reward_zoo.load("brightness"))
    store = LabelledStore.create(folder, generator="tiny", reward="brightness", latent_space={})
    label(generator, meter, batches_to_do(store, jobs, 2), store, **options)
    return store, meter


def test_extra_steps_are_a_third_stage(generator, tmp_path):
    store, meter = labelled(generator, tmp_path / "s", extra_steps=4)
    labels, latents = store.labels(), store.latents()[:]
    assert meter.calls == len(labels) == len(latents) == 9
    assert sorted({entry.stage for entry in labels}) == [1, 2, 4]
    row = next(i for i, entry in enumerate(labels) if (entry.prompt, entry.seed, entry.stage) == ("a dog", 3, 4))
    want = generator.sample(["a dog"], [3], 4)[-1][0]
    assert torch.allclose(latents[row], want, atol=2e-2)  # kept in half precision
    score = reward_zoo.load("brightness")(images=generator.decode(want[None])).values.item()
    assert labels[row].score == pytest.approx(score, abs=1e-3)


def test_what_is_there_is_not_asked_again(generator, tmp_path):
    labelled(generator, tmp_path / "s", JOBS[:2])
    store, meter = labelled(generator, tmp_path / "s")
    assert meter.calls == 2  # z1 and z2 of the third pair
    assert len(store.labels()) == 6


def test_the_price_of_a_pair_is_its_stages():
    assert DistillConfig().stages == 2
    assert DistillConfig(extra_steps=8).stages == 3
    assert DistillConfig(generator_steps=1).stages == 1
    with pytest.raises(SpecError, match="--extra-steps 2"):
        DistillConfig(extra_steps=2)


def test_a_store_of_another_reward_is_refused(generator, tmp_path):
    labelled(generator, tmp_path / "s", JOBS[:1])
    with pytest.raises(StoreError, match="use another folder"):
        LabelledStore.create(tmp_path / "s", generator="tiny", reward="ocr", latent_space={})


@pytest.fixture
def pictures(tmp_path):
    """A bright and a dark picture of other sizes than the generator's, each with its prompt beside it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, shade, size in (("bright", 250, (200, 100)), ("dark", 5, (64, 64))):
        Image.new("RGB", size, (shade, shade, shade)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"a {name} room\n")
    return folder


def test_real_pictures_are_labelled_as_the_autoencoder_gives_them_back(generator, pictures, tmp_path):
    store, meter = labelled(generator, tmp_path / "s", [])
    for _ in range(2):  # the second time all is there
        label_images(generator, meter, captioned(pictures), store, batch_size=1)
    assert meter.calls == 2
    labels = store.labels()
    assert [(entry.prompt, entry.stage) for entry in labels] == [("a bright room", 0), ("a dark room", 0)]
    again = reward_zoo.load("brightness")(images=generator.decode(store.latents()[:])).values
    assert torch.allclose(again, torch.tensor([entry.score for entry in labels]), atol=2e-3)
    (pictures / "dark.png").write_bytes(b"no picture")
    (pictures / "dark.txt").write_text("another")
    with pytest.raises(ImageError, match=r"dark.png: not a readable picture"):
        label_images(generator, meter, captioned(pictures), store, batch_size=1)


def test_captions_come_from_a_table_or_from_files_beside(pictures):
    beside = [(pictures / "bright.png", "a bright room"), (pictures / "dark.png", "a dark room")]
    assert captioned(pictures) == beside
    (pictures / "metadata.csv").write_text("file_name,text\ndark.png,night\n")
    assert captioned(pictures) == captioned(pictures / "metadata.csv") == [(pictures / "dark.png", "night")]
    (pictures / "metadata.csv").unlink()
    (pictures / "dark.txt").unlink()
    with pytest.raises(TableError, match=r"dark.png has no prompt; write it in dark.txt or in metadata.csv"):
        captioned(pictures)
