"""Keys of the session that more than one page reads."""

SOURCE = "data_source"  # in the session: the path as it was typed
