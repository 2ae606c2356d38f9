"""The surfaces: REST, UDF and the WebSocket stream over the same readers, behind one guard."""
