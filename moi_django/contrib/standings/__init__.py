"""Where a waiting job stands in its queue, when it will probably begin, and how that is said."""
