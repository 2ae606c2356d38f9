"""Who may do what: users, keys, tokens, sessions, tiers, limits, usage and the audit."""
