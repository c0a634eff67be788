"""The command line: argparse and one small module a verb."""
