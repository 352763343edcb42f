"""The contract: words that both the queen and the hives use. Imports no sibling."""
