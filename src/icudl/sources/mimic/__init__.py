"""What the MIMIC databases have in common: tables of events by item id, read into stays and hourly means."""
