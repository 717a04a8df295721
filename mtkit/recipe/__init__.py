"""Recipes: TOML text, or specs in Python, to declarations that fit together (no TensorFlow)."""

from mtkit.recipe.loader import Recipe, load_recipe
from mtkit.recipe.settings import Catalog, Evaluate, Recommend, Train

__all__ = ["Catalog", "Evaluate", "Recipe", "Recommend", "Train", "load_recipe"]
