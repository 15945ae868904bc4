"""Stage 0: the two prompt sets. No word stands in both; both mix English words and random letters."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from recipes.tiny_signs import data

TEST_ENGLISH, TEST_RANDOM, TRAIN_RANDOM, TRAIN_PROMPTS_PER_ENGLISH_WORD = 96, 160, 2200, 4


def split_words(seed: int = 20) -> tuple[list[str], list[str], list[str]]:
    """(test words, English training words, random training words), disjoint and without repeats."""
    rng = random.Random(seed)
    english = data.english_words()
    rng.shuffle(english)
    test, train_english = english[:TEST_ENGLISH], english[TEST_ENGLISH:]
    seen = set(english)
    random_words: list[str] = []
    while len(random_words) < TEST_RANDOM + TRAIN_RANDOM:
        word = data.random_word(rng)
        if word not in seen:
            seen.add(word)
            random_words.append(word)
    return test + random_words[:TEST_RANDOM], train_english, random_words[TEST_RANDOM:]


def build(work: Path, out: Path) -> None:
    """Write `test_words.txt` for the training stages and both prompt sets for the package."""
    rng = random.Random(21)
    test, train_english, train_random = split_words()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (work / "test_words.txt").write_text("\n".join(test) + "\n")
    train = train_english * TRAIN_PROMPTS_PER_ENGLISH_WORD + train_random
    rng.shuffle(train)
    rng.shuffle(test)
    for name, words in (("signs-train", train), ("signs-test", test)):
        prompts = [data.make_prompt(word, rng)[0] for word in words]
        prompts = list(dict.fromkeys(prompts))
        (out / f"{name}.txt").write_text("\n".join(prompts) + "\n")
        print(name, len(prompts), "prompts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--out", type=Path, default=Path("finetune/generators/tiny_signs/prompts"))
    options = parser.parse_args()
    build(options.work, options.out)
