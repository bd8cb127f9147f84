"""Makes page, tables, plots and cards of records, parity findings and experiments."""
