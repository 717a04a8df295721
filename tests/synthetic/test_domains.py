"""What all domains hold, and what each plants."""

import numpy as np
import pytest

from mtkit.errors import DataError
from mtkit.synthetic.domains import DOMAINS, domain_of
from mtkit.synthetic.settings import Settings
from mtkit.synthetic.truth import Account

SMALL = Settings(rows=6000, users=300, items=120, missing=0.2)


@pytest.fixture(params=DOMAINS.values(), ids=lambda domain: domain.name)
def domain(request):
    return request.param(SMALL)


def test_tables_are_as_declared(domain):
    schema = domain.schema(SMALL)
    (part,) = domain.parts()
    assert part.table.column_names == list(schema.interactions)
    for entity, columns in schema.entities.items():
        assert set(domain.tables[entity].column_names) - {"id"} == set(columns)
    times = part.table["time"].to_numpy()
    assert (np.diff(times) >= np.timedelta64(0)).all()
    assert str(times[0])[:10] == "2024-01-01"
    assert str(times[-1])[:10] == "2024-04-29"
    shares = [part.table[name].null_count / SMALL.rows for name in domain.behaviors]
    assert all(abs(share - 0.2) < 0.03 for share in shares)


def test_the_same_settings_make_the_same_data(domain):
    again, other = type(domain)(SMALL), type(domain)(SMALL.model_copy(update={"seed": 1}))
    assert again.part(0).table.equals(domain.part(0).table)
    assert again.tables == domain.tables
    assert not other.part(0).table.equals(domain.part(0).table)


def test_the_planted_model_is_better_than_the_plain_one(domain):
    account = Account(domain)
    for part in domain.parts():
        account.add(part)
    found = account.best()
    assert {"next", *domain.behaviors} <= set(found)
    for task, best in found.items():
        assert (best.planted < best.plain) if best.metric == "rmse" else (best.planted > best.plain + 0.05), task
        assert best.share(best.plain) == 0
        assert best.share(best.planted) == 1


def test_a_kind_that_there_is_not():
    with pytest.raises(DataError, match="did you mean 'media'"):
        domain_of("medai")


def test_lines_of_a_basket_are_of_one_customer_and_moment():
    (part,) = DOMAINS["shop"](SMALL).parts()
    frame = part.table.to_pandas()
    assert (frame.groupby("basket")[["user", "time", "channel"]].nunique() == 1).all().all()
    assert frame.groupby("basket").size().mean() > 2


def test_customers_come_back_to_their_own_products():
    (part,) = DOMAINS["shop"](SMALL).parts()
    (media,) = DOMAINS["media"](SMALL).parts()
    again = [p.table.to_pandas().duplicated(["user", "item"]).mean() for p in (part, media)]
    assert again[0] > again[1] + 0.05


def test_what_is_offered_is_mostly_within_the_band_but_not_always():
    finance = DOMAINS["finance"](SMALL)
    (part,) = finance.parts()
    risk, band = finance.tables["item"]["risk"].to_numpy(), finance.tables["user"]["limit"].to_numpy()
    above = (risk[part.items] > band[part.users]).mean()
    assert 0.02 < above < (risk[None] > band[:, None]).mean() - 0.05


def test_late_payments_are_accepted_less():
    finance = DOMAINS["finance"](SMALL)
    users, items = np.zeros(2, int), np.zeros(2, int)
    late = finance.tables["user"]["late_share"].to_numpy()
    users[:] = late.argmin(), late.argmin()
    chances = finance.acts.chances(users, items, np.zeros(2), np.array([0.0, -4.0]))["accepted"]
    assert chances[1] < chances[0]


def test_friends_have_the_same_tastes():
    social = DOMAINS["social"](SMALL)
    friends = social.tables["user"]["friends"].to_pylist()
    pairs = np.array([(user, friend) for user, listed in enumerate(friends) for friend in listed])
    before = social.world.before
    assert (before[pairs[:, 0]] * before[pairs[:, 1]]).sum(1).mean() > 3
    assert (pairs[:, 0] != pairs[:, 1]).all()


def test_people_are_the_users_of_the_network():
    social, people = DOMAINS["social"](SMALL), DOMAINS["people"](SMALL)
    assert people.tables["user"]["town"].equals(social.tables["user"]["town"])
    (part,) = people.parts()
    assert (part.users != part.items).all()
