"""Topics between the stages and their readers: one contract, one adapter a broker."""
