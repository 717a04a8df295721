"""The domains that can be made, by name."""

from __future__ import annotations

from mtkit.errors import DataError, nearest
from mtkit.synthetic.domain import Domain
from mtkit.synthetic.finance import Finance
from mtkit.synthetic.media import Media
from mtkit.synthetic.shop import Shop
from mtkit.synthetic.social import People, Social

DOMAINS: dict[str, type[Domain]] = {domain.name: domain for domain in (Shop, Media, Social, People, Finance)}


def domain_of(name: str) -> type[Domain]:
    """The domain of this name.

    Raises:
        DataError: there is none.
    """
    if name not in DOMAINS:
        raise DataError(f"no data of kind {name!r} can be made; {nearest(name, DOMAINS)}")
    return DOMAINS[name]
