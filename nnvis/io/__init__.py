"""Exchange with other projects' formats and array orders."""
