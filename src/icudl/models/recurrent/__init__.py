"""Recurrent classifiers: LSTM and GRU layers, their read-outs, and both beside window summaries."""
