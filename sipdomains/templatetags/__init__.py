"""Template libraries (Django looks for them here)."""
