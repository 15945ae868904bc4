"""The labelled store: appending, reading back, interruption, damage."""

import pyarrow.parquet as pq
import pytest
import torch

from surrogate.errors import LabelError, StoreError
from surrogate.latents import StoredLatents
from surrogate.sampling import prompt_batches, read_stores, split_by_prompt
from surrogate.store import Label, LabelledStore

META = {"generator": "g", "reward": "r", "latent_space": {"channels": 4}}


def rows(prompt, scores):
    return torch.randn(len(scores), 4, 2, 2), [Label(prompt, seed, 1, score) for seed, score in enumerate(scores)]


@pytest.fixture
def store(tmp_path):
    store = LabelledStore.create(tmp_path / "store", **META)
    for number in range(5):
        store.append(*rows(f"p{number}", [0.0, 0.5, 1.0]))
    return store


def test_what_is_appended_is_read_back_in_order(tmp_path):
    store = LabelledStore.create(tmp_path, **META)
    first, second = rows("a", [0.25, 1.0]), rows("b", [0.5])
    store.append(*first)
    store.append(*second)
    again = LabelledStore.open(tmp_path)
    assert again.labels() == first[1] + second[1]
    assert torch.equal(again.latents()[:], torch.cat([first[0], second[0]]).half().float())
    assert again.done() == {("a", 0), ("a", 1), ("b", 0)}


def test_latents_stay_on_disk_until_rows_are_asked_for(store, tmp_path):
    other = LabelledStore.create(tmp_path / "other", **META)
    other.append(*rows("late", [0.1, 0.2]))
    together = StoredLatents.together([store.latents(), other.latents()])
    everything = torch.cat([store.latents()[:], other.latents()[:]])
    for picked in (torch.tensor([16, 3, 3, 0]), torch.arange(17) % 4 == 1, slice(2, 9)):
        assert torch.equal(together[picked], everything[picked])
        assert torch.equal(together.view(picked)[:], everything[picked])
    (other.folder / "shard-00000.safetensors").write_bytes(b"")
    assert torch.equal(together[:15], everything[:15])  # nobody looked at the last shard
    with pytest.raises(StoreError, match=r"shard-00000.safetensors: damaged"):
        together[torch.tensor([15])]


def test_the_index_is_ordinary_parquet(store):
    table = pq.read_table(store.folder / "index.parquet")
    assert table.num_rows == 15
    assert {"prompt", "seed", "stage", "score", "shard", "row"} <= set(table.column_names)


def test_a_shard_without_its_index_part_does_not_count(store):
    (store.folder / "shard-00005.safetensors").write_bytes(b"half a shard")
    (store.folder / "index.parquet" / "part-00005.tmp").write_bytes(b"half an index")
    assert len(store) == len(store.labels()) == len(store.latents()) == 15
    store.append(*rows("late", [1.0]))
    assert store.labels()[-1].prompt == "late"
    assert len(store.latents()) == 16


def test_going_on_with_another_reward_is_refused(store):
    assert LabelledStore.create(store.folder, **META).labels() == store.labels()
    with pytest.raises(StoreError, match="reward='r', not 'other'"):
        LabelledStore.create(store.folder, **{**META, "reward": "other"})


def test_damage_is_named(store, tmp_path):
    (store.folder / "shard-00001.safetensors").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"shard-00001.safetensors: missing or damaged"):
        store.latents()
    header = (store.folder / "shard-00000.safetensors").read_bytes()[:-3]
    (store.folder / "shard-00001.safetensors").write_bytes(header)
    with pytest.raises(StoreError, match=r"shard-00001.safetensors: missing or damaged \(cut off\)"):
        store.latents()
    with pytest.raises(StoreError, match="not a labelled store"):
        LabelledStore.open(tmp_path / "nowhere")


def test_constant_or_missing_scores_cannot_teach(tmp_path):
    for number, scores in enumerate(([1.0, 1.0], [float("nan")] * 2)):
        store = LabelledStore.create(tmp_path / str(number), **META)
        store.append(*rows("a", scores))
        with pytest.raises(LabelError, match="same score"):
            read_stores([store])


def test_stores_of_one_reward_mix_and_share_their_prompts(store, tmp_path):
    other = LabelledStore.create(tmp_path / "other", **{**META, "generator": "another"})
    other.append(*rows("p0", [0.1, 0.2]))
    other.append(*rows("new", [0.3]))
    data = read_stores([store, other])
    assert len(data) == 18
    assert data.prompts == ["p0", "p1", "p2", "p3", "p4", "new"]
    assert (data.groups == 0).sum() == 5
    strange = LabelledStore.create(tmp_path / "strange", **{**META, "reward": "another"})
    strange.append(*rows("p0", [0.1]))
    with pytest.raises(StoreError, match='labels of several rewards \\("r", "another"\\) do not mix'):
        read_stores([store, strange])


def test_the_split_is_by_prompt(store):
    training, held_out = split_by_prompt(read_stores([store]), 0.4, torch.Generator().manual_seed(0))
    assert len(set(held_out.row_prompts())) == 2
    assert not set(training.row_prompts()) & set(held_out.row_prompts())
    assert len(training) + len(held_out) == 15


def test_the_split_passes_over_prompts_without_a_valid_label(tmp_path):
    store = LabelledStore.create(tmp_path, **META)
    for number in range(20):
        store.append(*rows(f"p{number}", [0.0, 1.0] if number in (3, 11) else [float("nan")] * 2))
    training, held_out = split_by_prompt(read_stores([store]), 0.1, torch.Generator().manual_seed(0))
    assert {*training.row_prompts(), *held_out.row_prompts()} == {"p3", "p11"}
    assert len(training) == len(held_out) == 2
    with pytest.raises(LabelError, match="1 prompts with valid labels are too few"):
        split_by_prompt(training, 0.1, torch.Generator())


def test_batches_hold_all_latents_of_their_prompts(store):
    data = read_stores([store])
    batches = prompt_batches(data.groups, 2, 0)
    seen = [sorted(set(data.groups[next(batches)].tolist())) for _ in range(2)]
    assert all(len(names) == 2 for names in seen)
    assert len({name for names in seen for name in names}) == 4
    assert len(next(batches)) == 6
