"""One file a metric family: kernel and catalogue entry. Found by catalog.py, listed nowhere."""
