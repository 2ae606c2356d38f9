"""Verbs of the command line beside `up`: what a deployer does with a folder, a line, a server."""
