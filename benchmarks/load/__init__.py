"""The other two processes of the end-to-end benchmark: who sends, and who listens."""
