"""Charts of the page: what each shows, as typed descriptions (``descriptions``) that the page's scripts draw."""
