"""The docs at /docs: Markdown pages, pages made from the running program, search."""
