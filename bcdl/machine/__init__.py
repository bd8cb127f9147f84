"""What a figure was made on and by: hardware, versions, commit and code."""
