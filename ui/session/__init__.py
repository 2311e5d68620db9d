"""The compute thread and what it tells the app."""
