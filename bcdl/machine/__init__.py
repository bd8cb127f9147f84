"""What a figure was measured on and by: hardware, environment variables, versions, commit and code."""
