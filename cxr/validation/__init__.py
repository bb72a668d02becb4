"""Models on labelled films: the held-out ones and a site's own."""
