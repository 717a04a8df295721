"""From files to a draft: who is asked, and what is said."""

import pytest
from user_files import shop, shown

from mtkit.draft.draft import draft_of, reasons
from mtkit.draft.tables import find_tables
from mtkit.errors import DataError


def test_only_what_is_not_sure_is_asked(tmp_path):
    asked = []

    def ask(table, column, guess):
        asked.append((table, column, guess.role))
        return "numeric" if column == "play_time_ms" else guess.role

    draft = draft_of(find_tables([shown(tmp_path)]), {}, {}, ask)
    assert asked == [("interactions", "play_time_ms", "ignore"), ("interactions", "is_new", "ignore")]
    assert draft.guesses["interactions"]["play_time_ms"].role == "numeric"
    assert "context.play_time_ms" in draft.context


def test_roles_of_other_tables_can_be_said(tmp_path):
    found = find_tables([shop(tmp_path)])
    draft = draft_of(found, {}, {"item.views": "numeric"})
    assert "item.views" in draft.features("item")
    with pytest.raises(DataError, match="no table 'items'; did you mean"):
        draft_of(found, {}, {"items.views": "numeric"})


def test_reasons_name_numbers_and_tables(tmp_path):
    lines = reasons(draft_of(find_tables([shop(tmp_path)]), {}, {}))
    assert "customer_id: user: 60 values in 2,000 rows, refers to customers.csv -> customer_id" in lines
