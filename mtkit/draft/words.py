"""Words in the names of columns, and what they tell."""

from __future__ import annotations

import re
from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER = _words(
    "user uid users customer customers cust client member visitor household account person people reviewer "
    "player reader subscriber buyer shopper viewer listener patient student follower guest employee investor"
)
ITEM = _words(
    "item items iid product products sku asin isbn movie film video song track artist album book article news "
    "story recipe game course question post listing offer ad creative restaurant business hotel venue place "
    "poi property job page content asset fund stock title show episode app"
)
ID = _words("id ids uid iid key code number no nr upc sku asin isbn isin hash uuid guid")
TIME = _words("time timestamp ts date datetime day at created updated when unixtime moment")
GROUP = _words("basket session order cart invoice transaction trip visit receipt")
RATING = _words("rating ratings stars score rate grade")
OUTCOME = _words(
    "click clicked clicks like liked likes dislike follow followed comment commented forward forwarded share "
    "shared hate view viewed watch watched buy bought purchase purchased order ordered cart convert converted "
    "conversion return returned churn churned install installed play played skip skipped finish finished "
    "favorite save saved subscribe subscribed open opened reply install redeemed"
)
#: Of outcomes for which nobody asks for more.
REGRET = _words(
    "dislike disliked hate hated return returned returns refund refunded cancel canceled cancelled churn churned skip "
    "skipped report reported complaint complained unsubscribe unsubscribed hide hidden remove removed fraud defaulted"
)
TARGET = _words("label target y class outcome churn income default_payment response")
#: Of amounts that are known only when an event is over.
AFTERWARDS = _words("play played stay watch watched dwell duration spent elapsed listening")
#: Of numbers of an entity that grow with what happens to it.
SNAPSHOT = _words(
    "views score scores reputation popularity votes sales favorites hits counts reviews ratings plays likes "
    "downloads upvotes downvotes purchases clicks average avg"
)
LIST = _words("tags genres categories keywords topics labels")
TEXT = _words("title name description text body review summary headline abstract content")
PART = _words("split part fold subset partition")
WEIGHT = _words("weight weights")


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: `userId`, `user_id` and `USER ID` are `user` and `id`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]


def tells(name: str, words: Iterable[str]) -> bool:
    """Whether a name has one of some words."""
    return not set(words).isdisjoint(words_of(name))
