"""`lasro rewards new` writes what `lasro rewards check` accepts."""

import pytest

import reward_zoo


def test_a_new_reward_passes_the_check_as_it_is(lasro, tmp_path, monkeypatch, images):
    monkeypatch.chdir(tmp_path)
    assert lasro("rewards", "new", "left_dark")[0] == 0
    for name in ("left_dark", "LeftDark"):
        code, found, err = lasro("rewards", "check", f"left_dark.py:{name}", "--json")
        assert code == 0, (found, err)
        assert all(part["kept"] for part in found)
    scores = reward_zoo.load("left_dark.py:LeftDark")(images=images).values
    assert scores.tolist() == pytest.approx((1 - images[..., :24].mean((1, 2, 3))).tolist())
    assert (tmp_path / "left_dark.py").read_text().count("lasro rewards check left_dark.py:left_dark") == 1


def test_a_broken_reward_fails_the_check(lasro, tmp_path):
    (tmp_path / "own.py").write_text("import random\n\ndef luck(images):\n    return [random.random() for _ in images]\n")
    code, found, _ = lasro("rewards", "check", f"{tmp_path / 'own.py'}:luck", "--json")
    assert code == 1
    assert {part["promise"] for part in found if not part["kept"]} >= {"the same twice", "any order"}
    code, table, err = lasro("rewards", "check", f"{tmp_path / 'own.py'}:luck")
    assert code == 1
    assert "NO" in table
    assert "of 10 promises" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["left-dark"], "must be a Python name"),
        (["class"], "must be a Python name"),
        (["good", "--out", "good.txt"], "must end in .py"),
        (["good", "--out", "no/where.py"], "does not exist"),
        (["there"], "exists"),
    ],
)
def test_bad_names_and_places_are_refused(lasro, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").write_text("mine")
    code, _, err = lasro("rewards", "new", *arguments)
    assert code == 2
    assert message in err
    assert (tmp_path / "there.py").read_text() == "mine"
    assert not (tmp_path / "good.py").exists()
