"""Where rows live: the embedded engine, the newest rows in memory, the data folder and its door."""
