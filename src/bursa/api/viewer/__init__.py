"""The viewer API: the small public face, its WebSocket, and the door that counts and limits."""
