"""`lasro rewards list` and `lasro doctor`: what there is, and what it still lacks."""

import importlib.util

import pytest

import reward_zoo
from reward_zoo.card import RewardCard, Weights
from reward_zoo.readiness import readiness
from tests.tiny.clip import build_clip

CARD = {"name": "x", "summary": "x", "range": (0.0, 1.0), "typical": (0.5, 0.1), "source": "x", "license": "MIT"}


def names(lasro, *flags):
    code, cards, err = lasro("rewards", "list", *flags, "--json")
    assert code == 0, err
    return {card["name"] for card in cards}


def test_filters_keep_what_they_say(lasro):
    everything = names(lasro)
    for flag, inside, outside in [
        ("--differentiable", "clip_score", "ocr"),
        ("--offline", "ocr", "clip_score"),
        ("--needs-prompt", "pickscore", "brightness"),
        ("--ready", "sharpness", "hpsv2"),
    ]:
        kept = names(lasro, flag)
        assert inside in kept, flag
        assert outside in everything - kept, flag
    permissive = names(lasro, "--license", "permissive")
    assert "image_reward" in permissive
    assert "aesthetic_v2_5" in everything - permissive
    assert names(lasro, "--differentiable", "--offline") < names(lasro, "--offline")
    code, _, err = lasro("rewards", "list", "--license", "free")
    assert code == 2
    assert "--license free" in err


def test_the_doctor_says_what_is_missing_and_where_it_goes(lasro, tmp_path, monkeypatch):
    monkeypatch.setenv("LASRO_WEIGHTS", str(tmp_path))
    _, found, _ = lasro("doctor", "--json")
    states = {item["name"]: item for item in found}
    assert set(states) == {card.name for card in reward_zoo.list_rewards()}
    assert states["brightness"]["state"] == "ready"
    assert states["clip_score"]["state"] == "missing weights"
    assert "$LASRO_WEIGHTS/openai--clip-vit-large-patch14/model.safetensors" in states["clip_score"]["remedies"][0]
    assert "hpsv3==1.0.0" in " ".join(states["hpsv3"]["remedies"])
    assert "$LASRO_WEIGHTS/alexnet-owt-7be5be79.pth" in states["lpips_similarity"]["remedies"][0]
    (tmp_path / "alexnet-owt-7be5be79.pth").touch()
    build_clip(tmp_path / "openai--clip-vit-large-patch14")
    _, found, _ = lasro("doctor", "--json")
    states = {item["name"]: item["state"] for item in found}
    assert states["clip_score"] == states["lpips_similarity"] == "ready"


def test_the_doctor_names_the_extra_of_a_missing_package():
    card = RewardCard(**CARD, requires=("no_such_package",), extra="iqa")
    found = readiness(card)
    assert found.state == "missing package"
    assert found.remedies == ('no_such_package: pip install "lasro[iqa]"',)
    with pytest.raises(ValueError, match="names no extra"):
        RewardCard(**CARD, requires=("no_such_package",))


def test_optional_weights_do_not_make_a_reward_unready():
    weights = Weights("org/name", "file.bin", 5_000_000, "somewhere", optional="engine=other")
    assert readiness(RewardCard(**CARD, weights=(weights,))).state == "ready"


def test_every_requirement_of_a_card_is_installed_by_an_extra_here():
    for card in reward_zoo.list_rewards():
        for name in card.requires if card.permissive else ():  # pyiqa is tried in an environment of its own
            assert importlib.util.find_spec(name), f"{card.name}: the test environment lacks {name}"
