"""One reader for each library: from the bytes of a file to a ``Predictor``."""
