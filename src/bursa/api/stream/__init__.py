"""The stream: what happens now, to every client that asked, by WebSocket and by events."""
