"""What a data source says of files that others publish: where they are, and under which license."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """One file of a publisher.

    Attributes:
        address: `http` or `https`.
        size: bytes, as far as is known; 0 = not known.
        checksum: as published, `sha256:...` or `md5:...`; empty = none is published.
        members: of a ZIP archive: name that a file gets -> where it lies within, through archives in the archive
            (`bank.zip/bank-full.csv`); empty = the file is kept as it is, under the last part of the address.
    """

    address: str
    size: int = 0
    checksum: str = ""
    members: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True)
class PublishedData:
    """A data set that can be fetched.

    Attributes:
        name: of its data source, by which `mtkit data get` calls it.
        folder: where its source looks for it, below the directory of all data.
        license: in words.
        page: where the publisher says so.
        files: what is fetched; empty = it comes with an installed package, from which `prepare` makes it, or it has to be
            fetched by hand, from `page`.
        like: the kind of data that can be made in its place (`mtkit data make`).
        prepare: makes what the source reads from the files, in the directory in which these lie.
    """

    name: str
    folder: str
    license: str
    page: str
    files: tuple[RemoteFile, ...] = ()
    like: str = "shop"
    prepare: Callable[[Path], None] | None = None

    @property
    def fetched(self) -> bool:
        """Whether a command can get it."""
        return bool(self.files or self.prepare)
