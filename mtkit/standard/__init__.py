"""Built-in components: specs only; the layers they build are in `mtkit.layers`. They come in by entry points like any plugin."""
