"""The status div as the server renders it."""
