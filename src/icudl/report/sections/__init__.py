"""The sections of the page, one subject a file."""
