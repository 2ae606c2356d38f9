"""`python -m bursa` is the command `bursa`."""

from bursa.cli import main

main()
