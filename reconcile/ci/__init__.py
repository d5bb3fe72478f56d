"""Reports on a pull request where it is discussed; knows the program by its command line."""
