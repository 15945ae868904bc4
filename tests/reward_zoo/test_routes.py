"""The same pictures by every route that a reward can be asked by: the same scores, to the bit."""

import pytest
import torch

import reward_zoo
from surrogate.labelling import Batch
from surrogate.ray_labelling import label_on_ray
from surrogate.store import LabelledStore
from tests.tiny.album import album
from tests.tiny.serving import Serving

NAMES = ("ocr", "brightness", "jpeg_compressibility", "color_target")
GIVEN = {"ocr": {"prompts": 'a sign "AB"'}, "color_target": {"targets": "red"}}

# A route makes a spec of a reward's name and the addresses of two servers.
ROUTES = {
    "one server": lambda name, one, two: f"{one}/{name}",
    "two servers": lambda name, one, two: f"{one}/{name},{two}/{name}",
    "own process": lambda name, one, two: f"isolated:{name}",
}
SECONDS_EACH = {
    ("own process", name) for name in ("jpeg_compressibility", "color_target")
}  # a process takes seconds: slow tests


@pytest.fixture(scope="module")
def addresses():
    with Serving(*NAMES) as one, Serving(*NAMES) as two:
        yield one.url, two.url


@pytest.fixture(scope="module")
def pictures():
    """200 pictures of two kinds: half are 8-bit, half are not."""
    images = torch.rand(200, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    images[:100] = images[:100].mul(255).round().to(torch.uint8).float() / 255
    return images


def in_batches(reward, images, **given):
    found = [reward(images=images[start : start + 50], **given) for start in range(0, len(images), 50)]
    return {
        "values": torch.cat([scores.values for scores in found]),
        "perceived": [scores.perceived for scores in found],
        **{name: torch.cat([scores.components[name] for scores in found]) for name in found[0].components},
    }


@pytest.fixture(scope="module")
def in_process(pictures):
    """What a reward says of a number of the pictures here, asked once."""
    known = {}

    def ask(name, count):
        if (name, count) not in known:
            known[name, count] = in_batches(reward_zoo.load(name), some(pictures, count), **GIVEN.get(name, {}))
        return known[name, count]

    return ask


def some(pictures, count):
    return pictures[100 - count // 2 :][:count]


def table():
    for name in NAMES:
        for route in ROUTES:
            slow = [pytest.mark.slow] if (route, name) in SECONDS_EACH else []
            for count in (40, 200) if name == "ocr" else (200,):
                many = [pytest.mark.slow] if (name, count) == ("ocr", 200) else []
                yield pytest.param(route, name, count, marks=slow + many, id=f"{name} of {count} by {route}")


@pytest.mark.parametrize(("route", "name", "count"), table())
def test_every_route_gives_the_same_scores(route, name, count, addresses, pictures, in_process):
    here, spec = in_process(name, count), ROUTES[route](name, *addresses)
    there = in_batches(reward_zoo.load(spec), some(pictures, count), **GIVEN.get(name, {}))
    assert there.keys() == here.keys()
    for part, values in here.items():
        assert values == there[part] if part == "perceived" else torch.equal(values, there[part]), part


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_labels_of_a_ray_cluster_have_the_same_scores(name, cluster, pictures, in_process, tmp_path):
    store = LabelledStore.create(tmp_path, generator="album", reward=name, latent_space={})
    prompt = 'a red sign "AB"'
    batches = [Batch(number, [(prompt, number * 50 + row) for row in range(50)]) for number in range(4)]
    assert label_on_ray(album(pictures, name), batches, store, device="cpu") == 200
    labels, here = store.labels(), in_process(name, 200)
    assert [label.seed for label in labels] == list(range(200))
    assert torch.equal(torch.tensor([label.score for label in labels]), here["values"])
    if name == "ocr":
        assert [label.perceived for label in labels] == [text for part in here["perceived"] for text in part]
