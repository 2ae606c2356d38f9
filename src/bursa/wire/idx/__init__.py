"""The idx family: binary messages of any layout, the same as text, sorting to channels."""
