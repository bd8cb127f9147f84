"""Records in; page, tables, plots and cards out."""
