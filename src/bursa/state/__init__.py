"""The state database: what must outlive a process and is no market data. Leases, dead letters."""
