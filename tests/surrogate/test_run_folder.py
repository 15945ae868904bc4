"""A run's folder: what it refuses to delete, and what it keeps of a run that cannot be gone on with."""

import pytest
import torch
import torch.serialization

from surrogate.checkpoint import load_checkpoint, save_checkpoint
from surrogate.errors import ResumeError, RunFolderError
from surrogate.runs.folder import check_out, open_run


def test_overwriting_takes_runs_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunFolderError, match=f"--overwrite would delete {tmp_path}, which holds no run"):
        check_out(tmp_path, overwrite=True, resume=False)
    assert (tmp_path / "thesis.tex").exists()


def test_overwriting_never_takes_what_is_read(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.save_config({}, "cpu")
    (tmp_path / "run" / "labels").mkdir()
    given = {"overwrite": True, "resume": False}
    for reads in ([tmp_path / "run"], [None, str(tmp_path / "run" / "labels")]):
        with pytest.raises(RunFolderError, match=r"--overwrite would delete .*, which this run reads"):
            check_out(tmp_path / "run", **given, reads=reads)
    check_out(tmp_path / "run", **given, reads=[tmp_path, "tiny-signs", None])
    with open_run(tmp_path / "run", overwrite=True, reads=["tiny-signs"]):
        assert not (tmp_path / "run" / "labels").exists()


def test_a_resume_that_is_refused_leaves_the_config(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.save_config({"seed": 0}, "cpu")
    before = (tmp_path / "run" / "config.yaml").read_bytes()

    def resume():
        with open_run(tmp_path / "run", resume=True) as run:
            run.save_config({"seed": 7}, "cpu")
            raise ResumeError("seed was 0 and is now 7")

    with pytest.raises(ResumeError):
        resume()
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_a_checkpoint_of_a_card_that_is_not_here_is_read(tmp_path, monkeypatch):
    with monkeypatch.context() as there:
        there.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
        save_checkpoint(tmp_path / "c.pt", {"a": 1}, {"w": torch.ones(3)})
    assert load_checkpoint(tmp_path / "c.pt", {"a": 1})["w"].tolist() == [1.0, 1.0, 1.0]
