"""Blind votes: what is shown tells nothing, what is voted is kept, and the summary is right."""

import csv
import http.client
import json
import threading

import pytest
from PIL import Image

from cli.compare.pairs import find_pairs
from cli.compare.server import VotingServer
from cli.compare.votes import Votes, summarise

KEYS = {"left": 0, "right": 1}


@pytest.fixture
def folders(tmp_path):
    """A of black pictures, B of white ones; one name is in A alone."""
    for side, color in (("base", "black"), ("tuned", "white")):
        (tmp_path / side).mkdir()
        for number in range(12):
            Image.new("RGB", (4, 4), color).save(tmp_path / side / f"{number:02d}.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "base" / "lonely.png")
    return tmp_path / "base", tmp_path / "tuned"


class Visitor:
    """A voter who likes white pictures, through the page's own requests."""

    def __init__(self, server):
        self.server = server

    def ask(self, path, told=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=5)
        own = {"Origin": f"http://127.0.0.1:{self.server.server_port}", "Content-Type": "application/json"}
        body = None if told is None else json.dumps(told)
        connection.request(
            "POST" if told else "GET", f"/{self.server.secret}{path}", body, {**(own if told else {}), **headers}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()

    def vote(self, count):
        state = json.loads(self.ask("/state")[1])
        for _ in range(count):
            shades = [self._shade(state["pair"], side) for side in ("left", "right")]
            choice = "left" if shades[0] > shades[1] else "right"
            state = json.loads(self.ask("/vote", {"pair": state["pair"], "choice": choice})[1])
        return state

    def _shade(self, pair, side):
        import io

        return Image.open(io.BytesIO(self.ask(f"/image/{pair}/{side}")[1])).convert("L").getpixel((0, 0))


@pytest.fixture
def visit(folders, tmp_path):
    """Start a session of some voter; ended at the end."""
    servers = []

    def begin(voter="me", seed=0):
        pairs = find_pairs(*folders, seed=seed, voter=voter)
        server = VotingServer(pairs, Votes(tmp_path / "votes.csv", *folders), voter)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return Visitor(server)

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_session_that_is_left_goes_on_and_loses_no_vote(lasro, visit, folders, tmp_path):
    first = visit()
    assert first.vote(5)["done"] == 5
    again = visit()  # as after Ctrl-C
    assert json.loads(again.ask("/state")[1])["done"] == 5
    state = again.vote(7)
    assert (state["done"], state["pair"]) == (12, None)
    assert again.server.finished.wait(2)
    with (tmp_path / "votes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["pair"] for row in rows}) == len(rows) == 12
    assert {row["winner"] for row in rows} == {"b"}
    assert {row["choice"] for row in rows} == {"left", "right"}  # B stood on both sides
    code, found, err = lasro("compare", folders[0].parent, "--votes", tmp_path / "votes.csv", "--summary", "--json")
    assert code == 0, err
    assert (found["votes"], found["b"], found["b_preferred"]) == (12, 12, 1.0)
    code, out, _ = lasro("compare", *folders, "--votes", tmp_path / "votes.csv", "--no-browser")
    assert code == 0  # all is answered: nothing is asked, the result is said
    assert "B preferred in 100% of the decided votes (95 % interval 76% to 100%): B is better" in out


def test_nothing_that_the_page_gets_tells_whose_a_picture_is(visit, folders):
    visitor = visit()
    seen = visitor.ask("/")[1] + visitor.ask("/state")[1]
    assert not any(word in seen for word in (b"tuned", b"base", b"flipped"))


def test_order_and_sides_are_the_voters_own_and_always_the_same(folders):
    mine, again = (find_pairs(*folders, seed=0, voter="me") for _ in range(2))
    assert mine == again
    assert [pair.name for pair in mine] != [pair.name for pair in find_pairs(*folders, seed=0, voter="you")]
    assert {pair.flipped for pair in mine} == {True, False}
    assert "lonely.png" not in {pair.name for pair in mine}
    few = [{pair.name for pair in find_pairs(*folders, seed=0, voter=voter, max_pairs=4)} for voter in ("me", "you")]
    assert len(few[0]) == 4
    assert few[0] == few[1]  # every voter is shown the same pairs


def test_only_the_page_itself_may_vote(visit):
    visitor = visit()
    vote = {"pair": 0, "choice": "left"}
    assert visitor.ask("/vote", vote, Origin="http://elsewhere.example")[0] == 403
    assert visitor.ask("/state", Host="elsewhere.example")[0] == 404
    assert visitor.ask("/vote", vote)[0] == 200
    for nonsense in (
        {"pair": 99, "choice": "left"},
        {"pair": -1, "choice": "left"},
        {"pair": 0, "choice": "up"},
        {"pair": True},
        [0],
    ):
        assert visitor.ask("/vote", nonsense)[0] == 400
    for path in ("/image/99/left", "/image/0/up", "/image/../left", "/nothing"):
        assert visitor.ask(path)[0] == 404


def test_a_double_vote_counts_once(visit, tmp_path):
    visitor = visit()
    for choice in ("left", "right", "tie"):
        visitor.ask("/vote", {"pair": 3, "choice": choice})
    assert len((tmp_path / "votes.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("wins", "interval"),
    [  # Wilson (1927), worked by hand: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), z = 1.959964
        ((2, 8), (0.4902, 0.9433)),
        ((5, 5), (0.2366, 0.7634)),
    ],
)
def test_the_interval_is_wilsons(folders, tmp_path, wins, interval):
    votes = Votes(tmp_path / "votes.csv", *folders)
    for number in range(sum(wins)):
        votes.add(f"{number}", "left" if number < wins[0] else "right", flipped=False, voter="me")
    votes.add("tied", "tie", flipped=True, voter="me")
    found = summarise(votes.held)
    assert (found["a"], found["b"], found["tie"], found["votes"]) == (*wins, 1, sum(wins) + 1)
    assert found["ci95"] == pytest.approx(interval, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{place}/base"], "holds no folders base and tuned"),
        (["{place}/base", "{place}/nowhere"], "no such folder"),
        (["{place}/base", "{place}/empty"], "no picture has the same name in both"),
        (["{place}/base", "{place}/tuned", "--votes", "{place}/strange.csv"], "holds no votes of lasro compare"),
        (["{place}/base", "{place}/tuned", "--votes", "{place}/others.csv"], "give another file for"),
        (["{place}/base", "{place}/tuned", "--max-pairs", "0"], "--max-pairs 0"),
    ],
)
def test_mistakes_are_named(lasro, folders, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange.csv").write_text("x,y\n1,2\n")
    Votes(tmp_path / "others.csv", tmp_path / "one", tmp_path / "two").add("x", "left", flipped=False, voter="me")
    code, out, err = lasro("compare", *[part.format(place=tmp_path) for part in arguments], "--no-browser")
    assert (code, out) == (2, "")
    assert message in err
