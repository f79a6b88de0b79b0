"""The page that tells what was found."""
