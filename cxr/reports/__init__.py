"""What leaves the app as a document."""
