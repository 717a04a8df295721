"""Fetching from a server of this machine, which breaks off, redirects and lies."""

import hashlib
import io
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mtkit.data.fetching import RECORD, fetch
from mtkit.errors import DataError
from mtkit.spec import PublishedData, RemoteFile

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """`/big.bin`, in parts where it is asked; `/moved` leads there."""

    def do_GET(self):
        state = self.server.state
        state["asked"].append((self.path, self.headers.get("Range")))
        if self.path in state["redirects"]:
            self.send_response(302)
            self.send_header("Location", state["redirects"][self.path])
            self.end_headers()
            return
        if self.path not in state["files"]:
            self.send_error(404)
            return
        content = state["files"][self.path]
        wanted = self.headers.get("Range")
        begin = int(wanted[6:-1]) if wanted and state["parts"] and self.headers.get("If-Range") == state["tag"] else 0
        self.send_response(206 if begin else 200)
        self.send_header("ETag", state["tag"])
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        stop = state["breaks"].pop(0) if state["breaks"] else None
        self.wfile.write(content[begin:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as http:
        http.state = {
            "files": {"/big.bin": CONTENT}, "redirects": {}, "breaks": [], "asked": [], "parts": True, "tag": '"one"',
        }  # fmt: skip
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        http.at = f"http://127.0.0.1:{http.server_port}"
        yield http
        http.shutdown()
        thread.join()


def published(server, path="/big.bin", **options):
    prepare = options.pop("prepare", None)
    file = RemoteFile(server.at + path, **options)
    return PublishedData("set", "set", "MIT", "https://example.org", (file,), prepare=prepare)


def ranges(server):
    return [wanted for _, wanted in server.state["asked"]]


def test_a_file_is_fetched_once(server, tmp_path):
    folder = fetch(published(server, checksum=f"sha256:{SHA}"), tmp_path)
    assert (folder / "big.bin").read_bytes() == CONTENT
    fetch(published(server, checksum=f"sha256:{SHA}"), tmp_path)
    assert len(server.state["asked"]) == 1


def test_what_broke_off_goes_on(server, tmp_path):
    server.state["breaks"] = [300_000, 700_000]
    folder = fetch(published(server, checksum=f"sha256:{SHA}"), tmp_path)
    assert (folder / "big.bin").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=300000-", "bytes=700000-"]


def test_another_command_goes_on_where_one_gave_up(server, tmp_path):
    server.state["breaks"] = [100_000, 200_000, 300_000]
    with pytest.raises(DataError, match=r"broke off after 300,000 bytes.*the same command goes on.*--file"):
        fetch(published(server), tmp_path)
    assert not (tmp_path / "set").exists()
    assert (fetch(published(server), tmp_path) / "big.bin").read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=300000-"


def test_a_file_that_changed_meanwhile_begins_anew(server, tmp_path):
    server.state["breaks"] = [100_000, 100_000, 100_000]
    with pytest.raises(DataError, match="broke off"):
        fetch(published(server), tmp_path)
    server.state |= {"files": {"/big.bin": CONTENT[::-1]}, "tag": '"two"'}
    assert (fetch(published(server), tmp_path) / "big.bin").read_bytes() == CONTENT[::-1]


def test_a_server_without_parts(server, tmp_path):
    server.state |= {"breaks": [100_000], "parts": False}
    assert (fetch(published(server), tmp_path) / "big.bin").read_bytes() == CONTENT


def test_redirects_are_followed(server, tmp_path):
    server.state["redirects"] = {"/moved": "/big.bin"}
    folder = fetch(published(server, "/moved", checksum=f"sha256:{SHA}"), tmp_path)
    assert (folder / "moved").read_bytes() == CONTENT


@pytest.mark.parametrize("leads", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirects_elsewhere_are_not(server, tmp_path, leads):
    server.state["redirects"] = {"/moved": leads}
    with pytest.raises(DataError):
        fetch(published(server, "/moved"), tmp_path)
    assert not (tmp_path / "set").exists()


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    wrong = published(server, checksum="md5:" + "0" * 32)
    for _ in range(2):
        with pytest.raises(DataError, match=r"is not the file that was published: expected md5 0000.*nothing was kept"):
            fetch(wrong, tmp_path)
    assert len(server.state["asked"]) == 2, "fetched anew"
    assert not (tmp_path / "set").exists()


def test_the_first_download_counts_where_nothing_is_published(server, tmp_path):
    first = fetch(published(server), tmp_path)
    assert SHA in (tmp_path / RECORD).read_text()
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        if path.name != RECORD:
            path.unlink() if path.is_file() else path.rmdir()
    server.state["files"] = {"/big.bin": b"other"}
    with pytest.raises(DataError, match=r"is not the file that was fetched first .*checksums\.json"):
        fetch(published(server), tmp_path)
    assert not first.exists()


def test_a_local_file_takes_its_place(server, tmp_path):
    local = tmp_path / "mine.dat"
    local.write_bytes(CONTENT)
    folder = fetch(published(server, checksum=f"sha256:{SHA}"), tmp_path / "data", [local])
    assert (folder / "big.bin").read_bytes() == CONTENT
    assert server.state["asked"] == []
    local.write_bytes(b"something else")
    with pytest.raises(DataError, match="is not the file that was published"):
        fetch(published(server, checksum=f"sha256:{SHA}"), tmp_path / "again", [local])
    assert local.exists(), "files of the user stay"


def test_members_of_archives_in_archives(server, tmp_path):
    inner, outer = io.BytesIO(), io.BytesIO()
    for file, name, content in ((inner, "full.csv", b"a;b\n1;2\n"), (outer, "bank.zip", None)):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, inner.getvalue() if content is None else content)
    server.state["files"]["/all.zip"] = outer.getvalue()

    def prepare(folder):
        (folder / "ready").write_text((folder / "bank.csv").read_text().upper())

    folder = fetch(published(server, "/all.zip", members={"bank.csv": "bank.zip/full.csv"}, prepare=prepare), tmp_path)
    assert (folder / "ready").read_text() == "A;B\n1;2\n"
    with pytest.raises(DataError, match=r"expected a ZIP archive with gone\.csv"):
        fetch(published(server, "/all.zip", members={"x": "gone.csv"}), tmp_path / "again")


def test_what_is_not_there(server, tmp_path):
    with pytest.raises(DataError, match=r"the server says 404 .*--file"):
        fetch(published(server, "/gone"), tmp_path)


def test_a_name_that_no_file_has(server, tmp_path):
    files = partial(RemoteFile, server.at + "/big.bin"), partial(RemoteFile, server.at + "/two.bin")
    two = PublishedData("set", "set", "MIT", "https://example.org", tuple(file() for file in files))
    (tmp_path / "three.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"three\.bin: is called like none .*big\.bin, two\.bin"):
        fetch(two, tmp_path / "data", [tmp_path / "three.bin"])
