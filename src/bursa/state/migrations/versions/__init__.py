"""The steps, in order. One that was released is never changed: another one follows it."""
