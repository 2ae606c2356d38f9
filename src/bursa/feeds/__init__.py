"""Where bytes come from: one file a transport, sharing only feeds/session.py."""
