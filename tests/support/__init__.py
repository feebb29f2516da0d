"""What several suites share: real servers on free ports, and databases on them."""
