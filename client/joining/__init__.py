"""How a site becomes one of a consortium, and stays one."""
