"""A user's own file as the reward, end to end on the embedded generator: its true value rises."""

import pytest

OWN = '''
def left_dark(images):
    """Is the left half dark?"""
    return (images[..., : images.shape[-1] // 2].mean((1, 2, 3)) < 0.4).float()
'''


@pytest.mark.slow
def test_a_users_own_reward_rises(lasro, tmp_path):
    (tmp_path / "my_rewards.py").write_text(OWN)
    spec = f"{tmp_path / 'my_rewards.py'}:left_dark"
    sizes = ("--samples", 1600, "--steps", 60)
    code, distilled, err = lasro("distill", "--reward", spec, *sizes, "--out", tmp_path / "dark", "--json")
    assert code == 0, err
    assert distilled["pairwise"]["accuracy"] > 0.7
    surrogate = distilled["surrogate"]
    sizes = ("--steps", 40, "--eval-samples", 128)
    code, tuned, err = lasro("finetune", "--surrogate", surrogate, *sizes, "--out", tmp_path / "tuned", "--json")
    assert code == 0, err
    assert tuned["reward"]["after"] > tuned["reward"]["before"]
    assert tuned["reward"]["ci95"][0] > 0
