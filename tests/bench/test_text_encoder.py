"""How the benchmark of text encoders speaks with its peer, without the libraries that the peer needs."""

import sys
from contextlib import closing

import pytest
import text_encoder

PEER = """
import json, sys, numpy
_, checkpoint, texts, vectors = sys.argv
numpy.save(vectors, [[len(text)] for text in json.load(open(texts, encoding="utf-8"))])
print(json.dumps({"vectors": 2}), flush=True)
for number, _ in zip((1, 2), sys.stdin):
    print(json.dumps({"seconds": number}), flush=True)
"""


@pytest.fixture
def peer(tmp_path, monkeypatch):
    (tmp_path / "text_encoder_peer.py").write_text(PEER)
    monkeypatch.setattr(text_encoder, "BENCH", tmp_path)
    with closing(text_encoder.Peer(sys.executable, "checkpoint", ["milk", "crème"], tmp_path)) as peer:
        yield peer


def test_a_peer_answers_when_it_is_asked(peer):
    assert peer.vectors.tolist() == [[4], [5]]
    assert [peer.seconds(), peer.seconds()] == [1, 2]
    peer.close()
    assert peer.process.returncode == 0


def test_a_peer_that_ends_is_told(peer):
    assert peer.seconds() + peer.seconds() == 3
    with pytest.raises(SystemExit, match="the peer ended with status 0"):
        peer.seconds()


def test_without_its_environment_the_benchmark_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["text_encoder.py", "--peer", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="make peers"):
        text_encoder.main()
