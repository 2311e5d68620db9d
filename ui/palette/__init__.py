"""The palette and the search box: what can be added to a network."""
