"""Files that jobs attach: kept by Django's storage API, and deleted after their jobs."""
