"""The command line: `reelstore`."""
