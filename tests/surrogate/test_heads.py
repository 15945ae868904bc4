"""Heads: reading and matching, several rewards on one backbone, ensembles with a lower bound."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from reward_zoo.text_match import ned
from surrogate.building import build_surrogate, fit_parts
from surrogate.config import DistillConfig
from surrogate.errors import BackboneError
from surrogate.folder import load_surrogate, save_surrogate
from surrogate.heads.columns import ColumnReader, letters_begun, soft_ned
from surrogate.heads.reader import Reader, alphabet_of
from surrogate.heads.slots import SlotReader
from surrogate.objective import surrogate_loss
from surrogate.sampling import ConditioningTable, LabelledLatents
from surrogate.seeding import stream
from tests.tiny.surrogate import FIDELITY

SPACE = (4, 16, 16)
WORDS = ("OPEN", "EXIT", "CAFE", "TAXI")
PROMPTS = [f'a sign that says "{word}"' for word in WORDS]


def written(words, rng):
    """Latents in which the k-th quarter shows the k-th letter: as a level of channel 0, for a reader to find."""
    latents = torch.randn(len(words), *SPACE, generator=rng) * 0.05
    for row, word in enumerate(words):
        for place, letter in enumerate(word):
            latents[row, 0, :, 4 * place : 4 * place + 4] += (ord(letter) - 77) / 6
    return latents


def labels_of(words_read, prompts, scores, rng):
    groups = torch.tensor([PROMPTS.index(prompt) for prompt in prompts])
    return LabelledLatents(written(words_read, rng), scores, torch.ones(len(groups)), groups, PROMPTS, list(words_read))


@pytest.fixture(scope="module", params=["columns", "slots"])
def reader(generator, request):
    """Of either kind; trained on what was perceived in random pictures, and on their scores under the prompts."""
    rng = stream(0, "letters")
    letters = sorted(set("".join(WORDS)))
    words = ["".join(letters[i] for i in torch.randint(len(letters), (4,), generator=rng)) for _ in range(256)]
    words = [WORDS[i % 4] if i % 2 else word for i, word in enumerate(words)]
    prompts = [PROMPTS[i // 2 % 4] for i in range(len(words))]
    scores = torch.tensor(
        [
            sum(a == b for a, b in zip(word, prompt.split('"')[1], strict=True)) / 4
            for word, prompt in zip(words, prompts, strict=True)
        ]
    )
    data = labels_of(words, prompts, scores, rng)
    config = DistillConfig(backbone="auto", reader=request.param, max_time=2, score_time=0)
    surrogate = build_surrogate(generator, data, config)
    table = ConditioningTable(generator, PROMPTS)
    optimizer = torch.optim.AdamW(surrogate.trained_parameters(), lr=2e-3)
    surrogate.train()
    for _ in range(120):
        rows = torch.randint(len(data), (48,), generator=rng)
        loss = surrogate_loss(surrogate, data.rows(rows), table, config, rng=rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return surrogate.eval()


def test_a_reward_that_perceives_text_gets_a_reader(reader):
    assert reader.backbone.kind == "latent-cnn"
    assert isinstance(reader.heads[0], Reader)
    assert reader.blind


@pytest.mark.parametrize(("height", "width", "kind"), [(8, 16, ColumnReader), (8, 11, SlotReader), (16, 32, SlotReader)])
def test_pictures_of_one_line_are_read_by_columns(generator, height, width, kind):
    """Six slots want twelve columns."""
    small = SimpleNamespace(
        **{name: getattr(generator, name) for name in ("alphas_cumprod", "encode_passing", "device", "unet")}
    )
    small.latent_space = replace(generator.latent_space, height=height, width=width)
    data = labels_of(WORDS, PROMPTS, torch.arange(4.0), stream(0, "few"))
    assert isinstance(build_surrogate(small, data, DistillConfig(backbone="auto")).heads[0], kind)
    if width == 11:
        with pytest.raises(BackboneError, match=r"--reader columns: needs 12 columns .*, and latents have 11; use"):
            build_surrogate(small, data, DistillConfig(backbone="auto", reader="columns"))


def test_it_scores_what_is_written_against_what_is_asked(generator, reader):
    """Every word under every prompt: the right one scores highest, each way."""
    latents = written(WORDS, stream(1, "test"))
    with torch.no_grad():
        table = torch.stack([reader.score(latents, generator.encode([prompt] * 4)) for prompt in PROMPTS])
    assert (table.argmax(0) == torch.arange(4)).all()
    assert (table.argmax(1) == torch.arange(4)).all()


def test_there_is_a_gradient_and_the_right_letter_scores_higher(generator, reader):
    latents = written(["OPEX"], stream(2, "test")).requires_grad_(True)
    reader.score(latents, generator.encode([PROMPTS[0]])).sum().backward()
    assert latents.grad.isfinite().all()
    assert latents.grad.abs().sum() > 0
    with torch.no_grad():
        scores = reader.score(written(["OPEX", "OPEN"], stream(2, "test")), generator.encode([PROMPTS[0]] * 2))
    assert scores[1] > scores[0]


def test_a_reader_comes_back(generator, reader, tmp_path):
    save_surrogate(reader, tmp_path, fidelity=FIDELITY, reward="ocr", generator="tiny")
    again = load_surrogate(tmp_path).surrogate
    latents, conditioning = written(WORDS, stream(3, "test")), generator.encode(PROMPTS)
    with torch.no_grad():
        assert torch.allclose(reader.score(latents, conditioning), again.score(latents, conditioning), atol=1e-5)


def test_a_slot_reader_knows_its_letters():
    head = SlotReader([8], size=(2, 8), alphabet="abc", slots=3)
    assert head.encode(["ab", "cz", "abcabc"]).tolist() == [[0, 1, 4], [2, 3, 4], [0, 1, 2]]
    read = head.look([torch.randn(2, 8, 2, 8)])
    assert read.shape == (2, 3, 5)
    assert torch.allclose(read.exp().sum(-1), torch.ones(2, 3), atol=1e-5)
    sure = torch.full((1, 3, 5), -20.0)
    sure[0, [0, 1, 2], [0, 1, 4]] = 0.0
    assert head.perception_loss(sure, ["AB"]) < 1e-6  # normalised, as the reward compares
    assert head.perception_loss(sure, ["ba"]) > 1
    assert alphabet_of(["Hello", "World"], least=2) == "lo"
    assert alphabet_of(["x"], least=20) == "x"


def columns_of(text, alphabet, *, columns):
    """As a perfect column reader sees a text: two columns a letter, a gap, and nothing behind."""
    sure = torch.full((1, columns, len(alphabet) + 2), 1e-6)
    places = [place for number in range(len(text)) for place in (3 * number, 3 * number + 1)]
    for column in range(columns):
        letter = alphabet.index(text[places.index(column) // 2]) if column in places else len(alphabet) + 1
        sure[0, column, letter] = 1.0
    return sure


def test_a_column_reader_knows_its_letters_wherever_they_stand():
    head = ColumnReader([8], size=(2, 16), alphabet="abc", slots=5)
    read = head.look([torch.randn(2, 8, 2, 16)])
    assert read.shape == (2, 5 + 16, 5)
    assert torch.allclose(read.exp().sum(-1), torch.ones(2, 21), atol=1e-5)
    guide = torch.full((1, 5, 5), 0.2)
    seen = columns_of("abba", "abc", columns=16)
    assert head.judge(read, ["", " "]).isfinite().all()
    for sure in (seen, seen.roll(3, 1)):
        losses = [head.perception_loss(torch.cat([guide, sure], 1).log(), [text]) for text in ("AB BA", "aba", "")]
        assert losses[0] < min(losses[1:]) - 1  # normalised, as the reward compares


@pytest.mark.parametrize("read", ["abba", "aba", "b", "abcba", "ccc"])
@pytest.mark.parametrize("wanted", ["abba", "a", "ac", "bacab"])
def test_letters_read_surely_match_as_their_text_does(read, wanted):
    codes = torch.tensor([["abc".index(letter) for letter in wanted]])
    begun = letters_begun(columns_of(read, "abc", columns=16)[..., :4])
    found = soft_ned(begun, codes, torch.tensor([len(wanted)]))
    assert found.item() == pytest.approx(ned(read, wanted), abs=1e-3)


def several(count, rng):
    """Two rewards: the means of channels 0 and 1; the score is 2 of the first minus the second, plus 3."""
    latents = torch.randn(count, *SPACE, generator=rng) + torch.randn(count, 4, 1, 1, generator=rng)
    parts = latents[:, :2].mean((2, 3))
    scores = 2 * parts[:, 0] - parts[:, 1] + 3
    groups = torch.arange(count) % 4
    return LabelledLatents(latents, scores, torch.ones(count), groups, PROMPTS, [""] * count, parts, ("first", "second"))


def test_several_rewards_share_a_backbone(generator):
    rng = stream(0, "several")
    data = several(64, rng)
    parts, offset = fit_parts(data)
    assert [part.name for part in parts] == ["first", "second"]
    assert [part.weight for part in parts] == pytest.approx([2, -1], abs=1e-4)
    assert offset == pytest.approx(3, abs=1e-4)

    config = DistillConfig(backbone="latent-cnn", losses=("regression",), max_time=2, score_time=0)
    surrogate = build_surrogate(generator, data, config)
    assert len(surrogate.heads) == 2
    table = ConditioningTable(generator, PROMPTS)
    optimizer = torch.optim.AdamW(surrogate.trained_parameters(), lr=2e-3)
    for _ in range(60):
        loss = surrogate_loss(surrogate, several(32, rng), table, config, rng=rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fresh = several(64, rng)
    with torch.no_grad():
        found = surrogate.eval().score(fresh.latents, table[fresh.groups])
    assert torch.corrcoef(torch.stack([found, fresh.scores]))[0, 1] > 0.8


def test_members_of_a_small_network_share_nothing(generator, tmp_path):
    surrogate = build_surrogate(generator, several(8, stream(0, "few")), DistillConfig(backbone="latent-cnn", members=2)).eval()
    conditioning = generator.encode(PROMPTS[:1])
    latents = torch.randn(1, *SPACE, generator=stream(0, "one")).requires_grad_(True)
    _, found = surrogate(latents, conditioning, torch.zeros(1, dtype=torch.long), torch.zeros_like(latents))
    assert found.shape == (len(surrogate.parts), 2, 1)
    assert not torch.allclose(found[:, 0], found[:, 1])
    found[0, 0].sum().backward()
    taught = [any(p.grad.abs().sum() > 0 for p in network.parameters()) for network in surrogate.backbone.networks]
    assert taught == [True, False]
    facts = {"reward": "ocr", "generator": "tiny", "margin": 0.2, "labels": []}
    save_surrogate(surrogate, tmp_path, fidelity=FIDELITY, distill=DistillConfig().as_dict(), **facts)
    again = load_surrogate(tmp_path).surrogate
    with torch.no_grad():
        assert torch.equal(again.score(latents, conditioning), surrogate.score(latents, conditioning))


def test_an_ensemble_is_pessimistic(generator):
    data = several(8, stream(0, "few"))
    config = DistillConfig(backbone="latent-cnn", members=3)
    surrogate = build_surrogate(generator, data.rows(torch.arange(8)), config).eval()
    conditioning = generator.encode(data.row_prompts())
    with torch.no_grad():
        mean = surrogate.score(data.latents, conditioning)
        surrogate.pessimism = 1.0
        lower = surrogate.score(data.latents, conditioning)
    assert surrogate.members == 3
    assert (lower < mean).all()  # whatever the weights' signs
