"""Public data sets as mtkit data sources."""

from mtkit_datasets.adult import Adult
from mtkit_datasets.bank_marketing import BankMarketing
from mtkit_datasets.complete_journey import CompleteJourney
from mtkit_datasets.kuairand import KuairandPure
from mtkit_datasets.movielens import Movielens100k
from mtkit_datasets.movietweetings import Movietweetings
from mtkit_datasets.s3rec import S3rec
from mtkit_datasets.stackexchange import Stackexchange

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
