"""`index.html`: the records as a page to explore, which needs no network."""
