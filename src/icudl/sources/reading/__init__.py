"""Reading what databases share: blocks of rows, hourly tables, events, counts, hashes, names; damaged files."""
