"""The curated library: a folder for each environment, with its README, data and licence."""
