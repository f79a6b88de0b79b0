"""Other people's models under our attacks, our models under other people's libraries."""
