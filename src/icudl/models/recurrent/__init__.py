"""Recurrent classifiers: LSTM and GRU layers, their read-outs, and the same beside window summaries."""
