"""Labelling: every stage of every pair once, resumable, metered."""

import pytest
import torch
from PIL import Image

import reward_zoo
from reward_zoo.errors import ImageError, RewardFailedError, SpecError, TableError
from reward_zoo.items import captioned
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


def contents(store):
    return {str(file.relative_to(store.folder)): file.read_bytes() for file in store.folder.rglob("*") if file.is_file()}


def test_batches_done_in_any_order_make_the_same_store(generator, tmp_path):
    jobs = [("a cat", seed) for seed in range(7)]
    whole, _ = labelled(generator, tmp_path / "whole", jobs)
    mixed = LabelledStore.create(tmp_path / "mixed", generator="tiny", reward="brightness", latent_space={})
    meter, batches = RewardMeter(reward_zoo.load("brightness")), batches_to_do(mixed, jobs, 2)
    label(generator, meter, [batches[3], batches[1]], mixed)  # as by several processes, of which some were killed
    (mixed.folder / "shard-00002.safetensors").write_bytes(b"half a shard")
    assert [batch.shard for batch in batches_to_do(mixed, jobs, 2)] == [0, 2]
    label(generator, meter, batches_to_do(mixed, jobs, 2), mixed)
    assert contents(mixed) == contents(whole)
    assert LabelledStore.open(mixed.folder).labels() == whole.labels()


def test_painting_ahead_changes_nothing(generator, tmp_path):
    jobs = [("a cat", seed) for seed in range(7)]
    assert contents(labelled(generator, tmp_path / "a", jobs)[0]) == contents(
        labelled(generator, tmp_path / "b", jobs, ahead=2)[0]
    )


def test_what_was_judged_before_a_mistake_stands(generator, tmp_path):
    store = LabelledStore.create(tmp_path / "s", generator="tiny", reward="r", latent_space={})
    meter, reward = RewardMeter(reward_zoo.load("brightness")), reward_zoo.load("brightness")

    def fails_later(**given):
        if meter.calls >= 8:
            raise RewardFailedError("the reward's own words")
        return reward(**given)

    fails_later.card, fails_later.elsewhere = reward.card, True
    meter.reward = fails_later
    with pytest.raises(RewardFailedError, match="the reward's own words"):
        label(generator, meter, batches_to_do(store, [("a cat", seed) for seed in range(9)], 2), store)
    assert len(store) == 8


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
