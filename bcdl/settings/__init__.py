"""What is to be run: settings, profiles, models, options, and the jobs that they resolve to."""
