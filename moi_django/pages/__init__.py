"""The status div and the app's own pages as the server renders them; how texts are written."""
