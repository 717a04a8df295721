"""Public data sets as mtkit data sources."""

from mtkit_datasets.complete_journey import CompleteJourney

__all__ = ["CompleteJourney"]
