"""Worker processes of this machine, and how large values reach them."""
