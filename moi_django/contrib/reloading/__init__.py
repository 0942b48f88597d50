"""The code of a site: whether engines have the same, and how they and `moi up` load it anew."""
