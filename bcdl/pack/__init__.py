"""`bcdl pack`: one folder with all that a bare GPU machine lacks, and one command that uses the machine's time well."""
