"""The live page: what is served to whom, and what the buttons do."""

import http.client
import json
import os
import re
import threading
import time

import pytest

from cli.report.live import LivePage, Server
from surrogate.errors import Ended
from surrogate.runs.folder import open_run
from surrogate.runs.state import SILENT_SECONDS, ask, read_state
from tests.tiny.run_folder import build_run


@pytest.fixture
def run(tmp_path):
    folder = build_run(tmp_path / "run", finished=False)
    (folder / "state.json").write_text(
        json.dumps({"state": "running", "phase": "tune", "done": 7, "total": 40, "pausable": True})
    )
    return folder


@pytest.fixture
def server(run):
    with Server(LivePage(run), 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def call(server):
    """(status, text) of a request; headers and body as given."""

    def request(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        connection.request(
            method, path.format(secret=server.secret), body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    return request


@pytest.fixture
def press(call, server):
    """A button of the page."""
    own = {"Origin": server.address.split("/" + server.secret)[0], "Content_Type": "application/json"}
    return lambda wish, **other: call("POST", "/{secret}/wish", json.dumps({"wish": wish}), **{**own, **other})


def control(run):
    path = run / "control.json"
    return json.loads(path.read_text())["wish"] if path.exists() else None


def test_the_page_and_what_changed_of_it(call, run):
    status, text = call("GET", "/{secret}/")
    assert status == 200
    assert "tuning, 7 of 40 steps" in text
    assert "connect-src &#39;self&#39;" in text or "connect-src 'self'" in text
    parts = json.loads(call("GET", "/{secret}/parts", X_Versions="{}")[1])
    assert parts == {"reload": True, "parts": {}}
    versions = dict(part.split('" data-version="') for part in _parts(text))
    found = json.loads(call("GET", "/{secret}/parts", X_Versions=json.dumps(versions))[1])
    assert found == {"reload": False, "parts": {}}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"phase": "finetune", "step": 41, "steps": 60, "validation_reward": 0.9}) + "\n")
    found = json.loads(call("GET", "/{secret}/parts", X_Versions=json.dumps(versions))[1])
    assert {"story", "curves"} <= set(found["parts"])
    assert "fidelity" not in found["parts"]
    assert "0.900" in found["parts"]["story"]["html"]


def _parts(text):
    return re.findall(r'data-part="(\w+" data-version="\w+)"', text)


def test_buttons_write_wishes(press, run):
    for wish in ("pause", "go", "stop"):
        assert press(wish)[0] == 204
        assert control(run) == wish


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 403),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 404),
        ({"Host": "[", "Origin": "http://["}, 404),
    ],
)
def test_another_page_cannot_press_them(press, run, other, status):
    assert press("stop", **other)[0] == status
    assert control(run) is None


def test_who_does_not_know_the_secret_sees_nothing(call, run):
    for path in ("/", "/guessed/", "/guessed/parts", "/{secret}", "/{secret}/../run/config.yaml"):
        assert call("GET", path)[0] == 404
    assert call("POST", "/guessed/wish", '{"wish": "stop"}', Content_Type="application/json")[0] == 404
    assert control(run) is None


def test_looking_changes_nothing(call, run):
    for path in ("/{secret}/", "/{secret}/parts", "/{secret}/wish", "/{secret}/wish?wish=stop"):
        call("GET", path)
    assert control(run) is None


@pytest.mark.parametrize("body", ["", "{", "[]", '{"wish": "rm"}', '{"wish": ' + '"' + "x" * 2000 + '"}'])
def test_nonsense_is_refused(call, server, run, body):
    own = {"Origin": server.address.split("/" + server.secret)[0], "Content_Type": "application/json"}
    assert call("POST", "/{secret}/wish", body, **own)[0] == 400
    assert control(run) is None


def test_a_finished_and_a_dead_run_are_said_so_and_hear_nothing(call, press, run):
    long_ago = time.time() - 2 * SILENT_SECONDS
    os.utime(run / "state.json", (long_ago, long_ago))
    assert "No sign of life" in call("GET", "/{secret}/")[1]
    assert press("stop")[0] == 409
    (run / "state.json").write_text(json.dumps({"state": "finished"}))
    assert "Finished" in call("GET", "/{secret}/")[1]
    assert press("stop")[0] == 409
    assert control(run) is None


def test_a_run_says_how_it_came_out(tmp_path):
    with open_run(tmp_path / "good") as run:
        assert read_state(run.path)["state"] == "running"
        assert not run.tell("tune", 1, 2)
        assert read_state(run.path)["done"] == 1
    assert read_state(tmp_path / "good")["state"] == "finished"
    (tmp_path / "kept").mkdir()  # a folder that was there is not taken away
    with pytest.raises(RuntimeError), open_run(tmp_path / "kept"):
        raise RuntimeError("no memory")
    assert read_state(tmp_path / "kept")["error"] == "RuntimeError: no memory"


def test_a_wish_to_stop_ends_what_is_saved_at_every_step(tmp_path):
    def labelling():
        with open_run(tmp_path / "run") as run:
            ask(run.path, "stop")
            run.heed("label", 64, 640)

    (tmp_path / "run").mkdir()
    with pytest.raises(Ended):
        labelling()
    assert read_state(tmp_path / "run")["state"] == "ended"
    with open_run(tmp_path / "run", resume=True) as run:
        run.heed("label", 128, 640)  # the wish is forgotten


def test_of_several_processes_none_waits(tmp_path):
    with open_run(tmp_path / "run") as run:
        ask(run.path, "pause")
        assert not run.tell("distill", 1, 2, pausable=False)


def test_what_is_no_run_cannot_be_watched(lasro, tmp_path, run, server):
    code, out, err = lasro("watch", tmp_path)
    assert (code, out) == (2, "")
    assert "not a run folder" in err
    code, _, err = lasro("watch", run, "--port", server.server_address[1])
    assert code == 2
    assert "choose another, or 0 for a free one" in err
