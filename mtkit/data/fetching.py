"""Files of a publisher: fetched whole, or from where it broke off, checked, and kept."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from mtkit.errors import DataError
from mtkit.files import whole, write_text, writing
from mtkit.spec import PublishedData, RemoteFile

#: How often a download that broke off is taken up again, how long is waited for bytes, and how many are read at once.
_TRIES, _SECONDS, _BLOCK = 3, 60, 1 << 20
#: Which checksums files had that were fetched, by address.
RECORD = "checksums.json"


def fetch(published: PublishedData, directory: Path, local: Sequence[Path] = ()) -> Path:
    """Puts the files of a set into its folder, whole or not at all, and returns the folder; what is there is left alone.

    Files that were fetched before are not fetched again; one that broke off goes on where it did.

    Args:
        published: the set.
        directory: holds a folder for each set.
        local: files in the place of those of the publisher, by their names.

    Raises:
        DataError: a file cannot be fetched, or is not the one that was published, or that was fetched first.
        RunError: the directory cannot be written.
    """
    folder = directory / published.folder
    if folder.exists():
        return folder
    given = _named(published, local)
    kept = directory / ".downloads" / published.folder
    found = [
        (file, _checked(file, given.get(file.name) or _downloaded(file, kept), directory)) for file in published.files
    ]
    with whole(folder) as temporary:
        temporary.mkdir()
        for file, path in found:
            _unpack(file, path, temporary)
        if published.prepare:
            published.prepare(temporary)
    return folder


def _named(published: PublishedData, local: Sequence[Path]) -> dict[str, Path]:
    """Local files by the name of the file that they stand for; a single one for a single one, whatever it is called."""
    names = [file.name for file in published.files]
    if len(names) == len(local) == 1:
        return {names[0]: local[0]}
    for path in local:
        if path.name not in names:
            raise DataError(f"{path}: is called like none of the files that are published: {', '.join(names)}")
    return {path.name: path for path in local}


def _downloaded(file: RemoteFile, directory: Path) -> Path:
    """The file below a directory, fetched if it is not there."""
    target = directory / file.name
    if target.exists():
        return target
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    part = directory / f"{file.name}.part"
    for left in reversed(range(_TRIES)):
        try:
            _go_on(file.address, part)
            break
        except urllib.error.HTTPError as error:
            raise DataError(f"{file.address}: the server says {error.code} {error.reason}; {_by_hand(file)}") from error
        except (OSError, http.client.HTTPException) as error:
            if not left:
                there = part.stat().st_size if part.exists() else 0
                raise DataError(
                    f"{file.address}: broke off after {there:,} bytes ({error}); the same command goes on from there, or "
                    f"{_by_hand(file)}"
                ) from error
    part.replace(target)
    return target


def _by_hand(file: RemoteFile) -> str:
    return f"fetch {file.name} in another way, and give it with --file"


def _go_on(address: str, part: Path) -> None:
    """Reads the rest of a file; all of it where the server has another one by now, or gives no parts."""
    mark = part.with_suffix(".mark")
    there = part.stat().st_size if part.exists() and mark.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "mtkit"})  # noqa: S310 - see _Redirects
    if there:
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", mark.read_text(encoding="utf-8"))
    with _opener().open(request, timeout=_SECONDS) as answer:
        known = answer.headers.get("ETag", "")
        known = answer.headers.get("Last-Modified", "") if not known or known.startswith("W/") else known
        resumed = answer.status == http.client.PARTIAL_CONTENT
        if known:
            mark.write_text(known, encoding="utf-8")
        with part.open("ab" if resumed else "wb") as out:
            _copy(answer, out)
    mark.unlink(missing_ok=True)


def _copy(answer: Any, out: IO[bytes]) -> None:
    """Copies all bytes that the server announced."""
    announced, got = answer.headers.get("Content-Length"), 0
    while block := answer.read(_BLOCK):
        out.write(block)
        got += len(block)
    if announced is not None and got < int(announced):
        raise http.client.IncompleteRead(b"", int(announced) - got)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to `http` and `https`, and never from the latter to the former."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and not newurl.startswith("https:"):
            raise DataError(f"{req.full_url}: leads to {newurl}, which is not encrypted; nothing was fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Opens `http` and `https` alone."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def _checked(file: RemoteFile, path: Path, directory: Path) -> Path:
    """The path, if the file is the one that was published, or that was fetched first."""
    record = directory / RECORD
    with writing(record):
        known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    kind, _, wanted = (file.checksum or known.get(file.address, "sha256:")).partition(":")
    try:
        found = _digest(path, kind)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if wanted and found != wanted:
        told = "was published" if file.checksum else f"was fetched first ({record})"
        if path.is_relative_to(directory / ".downloads"):
            path.unlink()
        raise DataError(f"{path}: is not the file that {told}: expected {kind} {wanted}, got {found}; nothing was kept")
    if not wanted:
        write_text(record, json.dumps(known | {file.address: f"{kind}:{found}"}, indent=1, sort_keys=True) + "\n")
    return path


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _unpack(file: RemoteFile, path: Path, directory: Path) -> None:
    """Copies a file, or the members of an archive that are asked for, to a directory."""
    if not file.members:
        shutil.copyfile(path, directory / file.name)
        return
    content = path.read_bytes()
    for name, place in file.members.items():
        try:
            (directory / name).write_bytes(_member(content, place))
        except (KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: expected a ZIP archive with {place}; {error}") from error


def _member(content: bytes, place: str) -> bytes:
    """A member of an archive, or of an archive in it."""
    outer, inside, rest = place.partition(".zip/")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = archive.read(f"{outer}.zip" if inside else place)
    return _member(found, rest) if inside else found
