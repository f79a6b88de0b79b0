"""Models that this project never trained: read from the file of their own library, or called as the user's object."""
