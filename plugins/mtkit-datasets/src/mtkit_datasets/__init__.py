"""Public data sets as mtkit data sources; each module is imported when its source is."""

import importlib
from typing import Any

_MODULES = {
    "Adult": "adult",
    "BankMarketing": "bank_marketing",
    "CompleteJourney": "complete_journey",
    "KuairandPure": "kuairand",
    "Movielens100k": "movielens",
    "Movietweetings": "movietweetings",
    "S3rec": "s3rec",
    "Stackexchange": "stackexchange",
}

__all__ = [
    "Adult",
    "BankMarketing",
    "CompleteJourney",
    "KuairandPure",
    "Movielens100k",
    "Movietweetings",
    "S3rec",
    "Stackexchange",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
