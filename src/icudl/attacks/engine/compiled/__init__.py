"""Passes through an LSTM layer in C (``passes.c``): the engine for float32 on a CPU, where a compiler is."""
