"""A log in Parquet through `keep`, `duplicates` and `sessions`, against a script of pyarrow and pandas that does so too.

Both begin with the file and end with the table, in turn, in one process; the results are compared. mtkit also reads every column
as it is declared, checks ids and times, and makes tables of the users and items, which the script does not. Prints one JSON line:
the ratio of the fastest of each, in time and in time of all cores, and what the three cleaners alone take.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from mtkit.data.cleaners import applied
from mtkit.data.cleaning import cleaned
from mtkit.data.columns import load
from mtkit.schema import Column
from mtkit.spec import Cleaned
from mtkit.standard.column_cleaners import Sessions
from mtkit.standard.row_cleaners import Duplicates, Keep
from mtkit.standard.sources import Files

EVENTS, GAP, BY = ["buy", "cart"], 1800, ["user", "item", "event"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=2_000_000)
    arguments.add_argument("--repeat", type=int, default=7)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "events.parquet"
        parquet.write_table(events(options.rows), path)
        source = recipe(path)
        same = pd.DataFrame(load(source).interactions.to_pydict())
        expected = script(path)
        assert (same.groupby("session").size() == expected.groupby("session").size()).all()
        assert same[BY].astype(str).equals(expected[BY].astype(str))
        runs = (lambda: load(source), lambda: script(path))
        seconds = np.array([[timed(run) for run in runs] for _ in range(options.repeat)])
        (own, own_cpu), (peer, peer_cpu) = seconds.min(axis=0).tolist()
        read = cleaned(source.load())
        alone, _ = min(timed(lambda: applied(read, source.cleaners, ("user", "item"))) for _ in range(options.repeat))
    found = {"ratio": own / peer, "cpu_ratio": own_cpu / peer_cpu, "seconds": own, "script_seconds": peer}
    found |= {"cleaners_seconds": alone, "rows": len(same)}
    print(json.dumps(found))


def events(rows: int) -> pa.Table:
    """What shops log: users and items by Zipf's law, sorted by time, with some repeats."""
    rng = np.random.default_rng(0)
    moments = np.sort(rng.integers(0, 180 * 86_400, rows)) + 1_704_067_200
    items = np.array([f"sku-{number:06}" for number in range(20_000)], object)
    return pa.table(
        {
            "user": rng.integers(0, rows // 20, rows),
            "item": items[np.minimum(rng.zipf(1.3, rows), len(items)) - 1],
            "time": pa.array(moments.astype("datetime64[s]")),
            "event": np.array(["view", "view", "cart", "buy"], object)[rng.integers(0, 4, rows)],
            "price": rng.random(rows),
        }
    )


def recipe(path: Path) -> Cleaned:
    """The source of the cleaned log."""
    columns = {
        "user": Column(kind="id", entity="user"),
        "item": Column(kind="id", entity="item"),
        "time": Column(kind="time"),
        "event": Column(kind="categorical"),
        "price": Column(kind="numeric"),
    }
    by = {
        "chosen": Keep.model_validate({"where": {"event": EVENTS}}),
        "once": Duplicates(by=tuple(BY)),
        "visits": Sessions.model_validate({"gap": f"{GAP}s"}),
    }
    return Cleaned(source=Files(interactions=path, columns=columns), by=by)


def script(path: Path) -> pd.DataFrame:
    """The same by hand."""
    table = parquet.read_table(path)
    table = table.filter(pc.is_in(table["event"], pa.array(EVENTS)))
    frame = table.to_pandas().drop_duplicates(BY, ignore_index=True)
    in_time = frame.sort_values(["user", "time"], kind="stable")
    apart = (in_time["user"] != in_time["user"].shift()) | (in_time["time"].diff() > pd.Timedelta(seconds=GAP))
    frame["session"] = apart.cumsum() - 1
    # Sessions are numbered as they begin.
    frame["session"] = pd.factorize(frame["session"])[0]
    return frame


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds that pass, and those of all cores, which hold on a machine with other work, too."""
    begin, busy = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begin, time.process_time() - busy


if __name__ == "__main__":
    main()
