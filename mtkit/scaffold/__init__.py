"""Distributions to begin with: one template for each kind of component, which are the examples of the documentation, too."""
