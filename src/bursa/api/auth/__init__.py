"""Who one is: keys exchanged for tokens, sign-up and sign-in, one's own account, the plugin."""
