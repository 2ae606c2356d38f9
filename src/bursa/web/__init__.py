"""The pages: server-rendered shells, and the files that bring them to life in a browser."""
