"""Small files of users, such as `mtkit init` is given."""

import numpy as np
import pandas as pd


def shop(directory, rows=2_000, seed=0):
    """Purchases with times, products and customers, as CSV files."""
    random = np.random.default_rng(seed)
    customers, products = 60, 40
    start = np.datetime64("2024-01-01T00:00:00")
    log = pd.DataFrame(
        {
            "customer_id": random.integers(0, customers, rows) + 100,
            "product_id": [f"P{number:03}" for number in random.integers(0, products, rows) ** 2 // products],
            "purchased_at": np.sort(start + random.integers(0, 120 * 86_400, rows).astype("timedelta64[s]")),
        }
    )
    log.to_csv(directory / "purchases.csv", index=False)
    items = pd.DataFrame(
        {
            "product_id": [f"P{number:03}" for number in range(products)],
            "title": [f"{color} {kind} of wood {n}" for n, (color, kind) in enumerate(_names(random, products))],
            "category": random.choice(["chair", "table", "lamp"], products),
            "price": random.uniform(1, 9, products).round(2),
            "tags": random.choice(["red|new", "old", "new|sale", "sale"], products),
            "views": random.integers(0, 1000, products),
        }
    )
    items.to_csv(directory / "products.csv", index=False)
    users = pd.DataFrame(
        {
            "customer_id": np.arange(customers) + 100,
            "town": random.choice(["Rome", "Oslo"], customers),
            "age": random.integers(18, 80, customers),
        }
    )
    users.to_csv(directory / "customers.csv", index=False)
    return directory


def _names(random, number):
    return zip(random.choice(["red", "green", "blue"], number), random.choice(["chair", "lamp"], number), strict=True)


def shown(directory, rows=3_000, seed=0):
    """Videos that were shown, with clicks, and how long each was played."""
    random = np.random.default_rng(seed)
    users, videos = random.integers(0, 80, rows), random.integers(0, 50, rows)
    click = (random.random(rows) < 0.2 + 0.5 * (videos % 3 == 0)).astype(int)
    pd.DataFrame(
        {
            "user_id": users,
            "video_id": videos,
            "time_ms": 1_700_000_000_000 + np.sort(random.integers(0, 30 * 86_400_000, rows)),
            "is_click": click,
            "play_time_ms": click * random.integers(1, 90_000, rows),
            "tab": random.integers(0, 5, rows),
            "is_new": random.integers(0, 2, rows),
        }
    ).to_parquet(directory / "log.parquet")
    return directory


def customers_alone(directory, rows=2_000, seed=0):
    """Rows without users and items, fields between semicolons."""
    random = np.random.default_rng(seed)
    age, calls = random.integers(18, 90, rows), random.integers(0, 9, rows)
    says = np.where(random.random(rows) < 1 / (1 + np.exp(calls - age / 12)), "yes", "no")
    frame = pd.DataFrame(
        {"age": age, "job": random.choice(["clerk", "cook", "none"], rows), "calls": calls, "deposit": says}
    )
    frame.insert(3, "duration", np.where(says == "yes", 400, 100) + random.integers(0, 300, rows))
    frame.to_csv(directory / "bank.csv", sep=";", index=False)
    return directory
