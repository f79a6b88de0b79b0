"""An attack on many stays: shards in, tables out."""
